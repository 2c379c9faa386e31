"""Exercises of module 07, Training."""

import math
from contextlib import suppress

import numpy as np

from tinytorch.core import training
from tinytorch.core.autograd import is_grad_enabled
from tinytorch.core.layers import Linear
from tinytorch.core.losses import mse_loss
from tinytorch.core.optimizers import SGD
from tinytorch.core.tensor import tensor
from tinytorch.core.training import Callback, CosineAnnealingLR, EarlyStopping, StepLR, Trainer

from ..checking import Exercises, call, raises, see, swap

exercises = Exercises("training")


def parameter(*numbers, grad=None):
    p = tensor(np.array(numbers, np.float32))
    p.requires_grad = True
    p.grad = None if grad is None else tensor(np.array(grad, np.float32))
    return p


def line(weight=1.0):
    """A model y = weight * x."""
    model = Linear(1, 1, bias=False)
    model.weight.array[...] = weight
    return model


def batch(*pairs):
    """A batch of (x, y) with one feature each."""
    x, y = np.array(pairs, np.float32).T
    return tensor(x[:, None]), tensor(y[:, None])


clip = exercises.add(
    "clip_grad_norm_",
    prompt="Scale all gradients in place by one and the same factor, max_norm / (norm + 1e-6), if that is "
    "below 1, and return "
    "their joint norm from before as a Tensor. The norm is that of all numbers of all gradients together: "
    "the sum of |g|**norm_type to the power 1/norm_type, or the largest |g| for math.inf. `parameters` is "
    "one Tensor or an "
    "iterable; those without a gradient do not count. After a change grad.memory.writes grows by one. A norm "
    "of nan makes every gradient nan; with error_if_nonfinite a norm of inf or nan is a RuntimeError.",
    hints=(
        "One norm for all: the root of the sum over all gradients of the sum of their squares.",
        "`np.vdot(g, g)` of a flat array is the sum of its squares. math.inf needs a maximum in place of "
        "a sum.",
        "scale = max_norm / (norm + 1e-6); if not scale >= 1: for g in gradients: g.array *= scale",
    ),
    mistakes=(
        swap(
            "norm = math.sqrt(sum(float(np.vdot(g, g)) for g in flat))",
            "norm = sum(math.sqrt(float(np.vdot(g, g))) for g in flat)",
            "The norms of the gradients are added up; it is their squares that add up, and the root "
            "comes last.",
        ),
        swap(
            "    if not scale >= 1:",
            "    if True:",
            "Small gradients are scaled up: they are left alone unless their norm is above max_norm.",
        ),
        swap(
            "    return tensor(norm, ",
            "    return tensor(min(norm, max_norm), ",
            "The norm after clipping is returned; it is the one from before.",
        ),
        swap(
            "            g.array *= scale\n",
            "            g.array = np.clip(g.array, -max_norm, max_norm)\n",
            "Each number is cut off by itself, which changes the direction: all are scaled by the same "
            "factor.",
        ),
        swap(
            "            g.memory.writes += 1\n",
            "",
            "Autograd does not hear of the change: memory.writes counts what was changed in place.",
        ),
        swap(
            "[parameters] if isinstance(parameters, Tensor) else parameters",
            "list(parameters)",
            "A single Tensor may come, too; going over it gives its rows, which have no gradient.",
        ),
        swap(
            "            g.array *= scale\n",
            "            g.array = g.array * scale\n",
            "The gradient got other memory: whoever holds its array does not see the change. Scale in place.",
        ),
        swap(
            "    return tensor(norm, gradients[0].dtype if gradients else None)",
            "    return norm",
            "The norm comes back as a number; a Tensor is asked for.",
        ),
        swap(
            "gradients[0].dtype if gradients else None",
            "gradients[0].dtype",
            "There may be no gradient at all: then the norm is 0.",
        ),
        swap(
            "if error_if_nonfinite and not",
            "if not",
            "A norm of inf or nan is an error only with error_if_nonfinite.",
        ),
        swap(
            "if not scale >= 1:",
            "if scale < 1:",
            "A norm of nan leaves the gradients alone; as nan they would show that something is wrong. Ask "
            "`not scale >= 1`.",
        ),
        swap(
            "max((float(np.abs(g).max()) for g in flat if g.size), default=0.0)",
            "sum(float(np.abs(g).max()) for g in flat)",
            "For math.inf the largest numbers of the gradients are added up; the norm is the largest of all.",
        ),
        swap(
            "np.abs(g).max()",
            "g.max()",
            "For math.inf it is the largest distance from 0: negative numbers count by their size.",
        ),
    ),
)


@clip.check("a joint norm of 5 is scaled to 1")
def _():
    p, q = parameter(0.0, grad=[3.0]), parameter(0.0, grad=[4.0])
    call(training.clip_grad_norm_, [p, q], 1.0).gives(tensor(5.0))
    see("p.grad = [3] after clipping to 1", p.grad).gives([0.6], atol=1e-5)
    see("q.grad = [4] after clipping to 1", q.grad).gives([0.8], atol=1e-5)


@clip.check("small gradients stay, and so do those that are None")
def _():
    p, q = parameter(0.0, 0.0, grad=[0.3, 0.4]), parameter(0.0)
    call(training.clip_grad_norm_, [p, q], 10.0).gives(tensor(0.5))
    see("p.grad = [0.3, 0.4] after clipping to 10", p.grad).gives([0.3, 0.4])


@clip.check("the direction of the step stays")
def _():
    p = parameter(0.0, 0.0, 0.0, grad=[8.0, -4.0, 1.0])
    training.clip_grad_norm_(p, 0.9)
    see("p.grad = [8, -4, 1] after clipping to 0.9", p.grad).gives([0.8, -0.4, 0.1], atol=1e-5)


@clip.check("other norms")
def _():
    for kind, norm in ((1.0, 8.0), (math.inf, 4.0), (3.0, 92 ** (1 / 3))):
        p, q = parameter(0.0, 0.0, grad=[3.0, -4.0]), parameter(0.0, grad=[1.0])
        call(training.clip_grad_norm_, [p, q], 100.0, kind).gives(tensor(np.float32(norm)))


@clip.check("no gradient at all is a norm of 0")
def _():
    call(training.clip_grad_norm_, [parameter(1.0)], 1.0).gives(tensor(0.0))


@clip.check("a change in place is counted")
def _():
    p = parameter(0.0, grad=[3.0])
    before, array = p.grad.memory.writes, p.grad.array
    training.clip_grad_norm_(p, 1.0)
    see("the array that p.grad had before", array).gives([1.0], atol=1e-5)
    see("how often p.grad was written", p.grad.memory.writes - before).gives(1)


@clip.check("nan can be an error")
def _():
    p = parameter(0.0, 0.0, grad=[math.nan, 1.0])
    see("the norm of [nan, 1]", float(training.clip_grad_norm_([p], 1.0).item())).gives(math.nan)
    see("p.grad = [nan, 1] afterwards", p.grad).gives([math.nan, math.nan])
    raises(RuntimeError, training.clip_grad_norm_, [p], 1.0, error_if_nonfinite=True)


def rates(scheduler, steps):
    """The rates of the first group, at once and after each step."""
    found = [scheduler.get_last_lr()[0]]
    for _ in range(steps):
        scheduler.step()
        found.append(scheduler.get_last_lr()[0])
    return [float(rate) for rate in found]


def two_groups():
    return SGD([{"params": [parameter(1.0)]}, {"params": [parameter(1.0)], "lr": 8.0}], lr=1.0)


step_lr = exercises.add(
    "StepLR.get_lr",
    prompt="Return the rate of each group, a list: its base rate (self.base_lrs) times gamma for each "
    "whole step_size in "
    "self.last_epoch, the number of steps made so far.",
    hints=(
        "How many whole step_sizes are in last_epoch? That many factors of gamma.",
        "`//` divides without remainder: gamma ** (last_epoch // step_size).",
    ),
    mistakes=(
        swap(
            "self.last_epoch // self.step_size",
            "self.last_epoch / self.step_size",
            "The rate falls a little with every step; it falls at once after each step_size steps.",
        ),
        swap(
            "self.last_epoch // self.step_size",
            "(self.last_epoch + 1) // self.step_size",
            "The rate falls one step too early.",
        ),
        swap(
            "for lr in self.base_lrs",
            "for lr in self.base_lrs[:1]",
            "Only one rate comes: one for each group.",
        ),
        swap(
            "for lr in self.base_lrs",
            "for lr in self.get_last_lr()",
            "The rate falls from what it is now, over and over; it is a multiple of the base rate.",
        ),
        swap("self.gamma **", "0.5 **", "gamma is ignored."),
    ),
)


@step_lr.check("half after every two steps")
def _():
    scheduler = StepLR(two_groups(), step_size=2, gamma=0.5)
    see("rates of StepLR(step_size=2, gamma=0.5) from 1.0", rates(scheduler, 5)).gives(
        [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    )


@step_lr.check("each group from its own rate")
def _():
    scheduler = StepLR(two_groups(), step_size=1, gamma=0.5)
    scheduler.last_epoch = 2
    see(
        "get_lr() of two groups with 1.0 and 8.0 after 2 steps", [float(x) for x in scheduler.get_lr()]
    ).gives([0.25, 2.0])
    scheduler = StepLR(two_groups(), step_size=3, gamma=0.1)
    see("rates of StepLR(step_size=3, gamma=0.1) from 1.0", rates(scheduler, 3)).gives([1.0, 1.0, 1.0, 0.1])


cosine = exercises.add(
    "CosineAnnealingLR.get_lr",
    prompt="Return the rate of each group, a list: eta_min + (base rate − eta_min) · (1 + cos(π · "
    "last_epoch / T_max)) / 2. It "
    "begins at the base rate and reaches eta_min after T_max steps.",
    hints=(
        "At the beginning the cosine is 1 and the height (1 + 1) / 2 = 1; at the end it is −1 and the "
        "height 0.",
        "`math.cos(math.pi * self.last_epoch / self.T_max)`; the same height for every group.",
    ),
    mistakes=(
        swap(
            "(1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2",
            "math.cos(math.pi * self.last_epoch / self.T_max)",
            "The rate becomes negative: the cosine runs from 1 to −1, and (1 + cos) / 2 from 1 to 0.",
        ),
        swap(
            "self.eta_min + (lr - self.eta_min) * height",
            "self.eta_min + lr * height",
            "The rate begins eta_min too high: only the distance to eta_min is scaled.",
        ),
        swap(
            "self.eta_min + (lr - self.eta_min) * height",
            "lr * height",
            "The rate falls to 0; it has to end at eta_min.",
        ),
        swap(
            "self.last_epoch / self.T_max",
            "(self.last_epoch + 1) / self.T_max",
            "The rate is one step ahead: after 0 steps it is the base rate.",
        ),
        swap(
            "math.pi * self.last_epoch",
            "2 * math.pi * self.last_epoch",
            "The cosine goes all the way round: after T_max steps it is at half of it.",
        ),
    ),
)


@cosine.check("from the base rate down to eta_min, half way in the middle")
def _():
    scheduler = CosineAnnealingLR(two_groups(), T_max=4, eta_min=0.2)
    found = rates(scheduler, 4)
    see(
        "the first, middle and last rate of CosineAnnealingLR(T_max=4, eta_min=0.2) from 1.0", found[::2]
    ).gives([1.0, 0.6, 0.2])


@cosine.check("along the cosine, for each group")
def _():
    scheduler = CosineAnnealingLR(two_groups(), T_max=10)
    scheduler.last_epoch = 3
    height = (1 + math.cos(0.3 * math.pi)) / 2
    see("get_lr() of 1.0 and 8.0 after 3 of 10 steps", [float(x) for x in scheduler.get_lr()]).gives(
        [height, 8 * height]
    )


class Stoppable:
    """What EarlyStopping needs of a Trainer."""

    def __init__(self):
        self.model, self.reason = line(), None

    def stop(self, reason):
        self.reason = reason


stopping = exercises.add(
    "EarlyStopping.on_epoch_end",
    prompt="Look at logs[self.monitor] (a KeyError that names it if it is not there). If it is better "
    "than self.best by more than "
    "min_delta, or the first, it becomes self.best, self.waited becomes 0, and with restore_best "
    "self.weights keeps a copy of "
    "the model's state_dict, {name: tensor}. Otherwise self.waited grows by one, and once it reaches "
    "patience, "
    "trainer.stop(reason) is called. Better is smaller for mode 'min' and larger for 'max'.",
    hints=(
        "Compute the gain: best − value for 'min', value − best for 'max', infinity for the first value.",
        "`tensor(value)` copies; the state_dict itself shares memory with the model, which trains on.",
        "if gain > self.min_delta: … else: self.waited += 1; if self.waited >= self.patience: "
        "trainer.stop(…)",
    ),
    mistakes=(
        swap(
            "            self.best, self.waited = value, 0\n",
            "            self.best = value\n",
            "The waiting is not reset: after an improvement patience begins anew.",
        ),
        swap(
            '* (1 if self.mode == "min" else -1)',
            "",
            "mode='max' is ignored: there a larger value is better.",
        ),
        swap(
            "if self.waited >= self.patience:",
            "if self.waited > self.patience:",
            "It stops one epoch too late.",
        ),
        swap(
            "{name: tensor(value) for name, value in trainer.model.state_dict().items()}",
            "dict(trainer.model.state_dict())",
            "The kept weights share memory with the model and train on with it: copy them.",
        ),
        swap(
            "if gain > self.min_delta:",
            "if gain > 0:",
            "min_delta is ignored: smaller improvements do not count.",
        ),
        swap(
            "if gain > self.min_delta:",
            "if gain >= self.min_delta:",
            "An equal value counts as better; it has to be better by more than min_delta.",
        ),
        swap(
            "math.inf if self.best is None",
            "math.inf if not self.best",
            "A best value of 0 counts as none: ask whether it `is None`.",
        ),
        swap(
            "            self.waited += 1\n",
            "            self.waited += 1\n            self.best = value\n",
            "A worse value becomes self.best: what comes has to be better than the best, not than the last.",
        ),
        swap(
            "            if self.restore_best:\n",
            "            if True:\n",
            "Weights are kept without restore_best.",
        ),
        swap(
            "            if self.restore_best:\n",
            "            if self.restore_best and self.weights is None:\n",
            "Only the first weights are kept; those of the best epoch are asked for.",
        ),
    ),
)


def watched(values, **settings):
    """(after which epoch it stopped or 0, the callback) for a sequence of validation losses."""
    callback, trainer = EarlyStopping(**settings), Stoppable()
    for epoch, value in enumerate(values, 1):
        callback.on_epoch_end(trainer, {"val_loss": value})
        if trainer.reason is not None:
            return epoch, callback
    return 0, callback


@stopping.check("it stops after patience epochs without a better value")
def _():
    see(
        "stopped after epoch, for losses 3 2 2.5 2.5 1 and patience 2",
        watched([3, 2, 2.5, 2.5, 1], patience=2)[0],
    ).gives(4)


@stopping.check("an improvement begins the waiting anew")
def _():
    see(
        "stopped after epoch, for losses 3 3 2 3 1 and patience 2", watched([3, 3, 2, 3, 1], patience=2)[0]
    ).gives(0)


@stopping.check("it is the best value that counts, also where it is 0")
def _():
    epoch, callback = watched([1, 3, 2, 2], patience=3)
    see("stopped after epoch, for losses 1 3 2 2 and patience 3", epoch).gives(4)
    see("the best value", float(callback.best)).gives(1.0)
    see("stopped after epoch, for losses 0 1 2 and patience 2", watched([0, 1, 2], patience=2)[0]).gives(3)


@stopping.check("an equal value is no improvement")
def _():
    see("stopped after epoch, for losses 2 2 2 and patience 2", watched([2, 2, 2], patience=2)[0]).gives(3)


@stopping.check("mode='max' looks for larger values")
def _():
    epoch, callback = watched([0.5, 0.7, 0.9], patience=1, mode="max")
    see("stopped after epoch, for 0.5 0.7 0.9 and mode='max'", epoch).gives(0)
    see("the best value", float(callback.best)).gives(0.9)


@stopping.check("less than min_delta is no improvement")
def _():
    see(
        "stopped after epoch, for 1 0.95 0.9 and min_delta=0.2",
        watched([1, 0.95, 0.9], patience=2, min_delta=0.2)[0],
    ).gives(3)


@stopping.check("the best weights are a copy")
def _():
    callback, trainer = EarlyStopping(patience=3), Stoppable()
    callback.on_epoch_end(trainer, {"val_loss": 1.0})
    trainer.model.weight.array[...] = 99.0
    kept = callback.weights or {}
    see("the kept weight after the model's became 99", kept.get("weight")).gives([[1.0]])
    callback.on_epoch_end(trainer, {"val_loss": 0.5})
    kept = callback.weights or {}
    see("the kept weight after a better epoch with the weight 99", kept.get("weight")).gives([[99.0]])
    callback = EarlyStopping(patience=3, restore_best=False)
    callback.on_epoch_end(trainer, {"val_loss": 1.0})
    see("weights with restore_best=False", callback.weights).gives(None)


@stopping.check("a number that is not logged is named")
def _():
    raises(
        KeyError, EarlyStopping("val_accuracy").on_epoch_end, Stoppable(), {"loss": 1.0}, says="val_accuracy"
    )


train_step = exercises.add(
    "Trainer.train_step",
    prompt="Make one update from a list of batches and return the Means of their losses and metrics. "
    "Clear the gradients first. For "
    "each batch self.measure(batch) gives (loss, values); self.refuse_nan(values['loss']); then backward. "
    "Of several batches "
    "each loss counts size / total, its share of the samples, so that the gradient is that of one large "
    "batch. Then clip the "
    "gradients if self.clip_norm is not None, step the optimizer, and count the update in self.updates.",
    hints=(
        "self.optimizer.zero_grad(), then the loop over the batches, then clip_grad_norm_, then "
        "self.optimizer.step().",
        "`len(self.pair(batch)[1])` is the number of samples of a batch. means.add(size, values) keeps "
        "the running means.",
        "(loss * (size / total)).backward(): the losses are means over their batches, so weigh them by "
        "their sizes.",
    ),
    mistakes=(
        swap(
            "        self.optimizer.zero_grad()\n",
            "",
            "The gradients are not cleared: those of the update before are added to them.",
        ),
        swap(
            "(loss if len(batches) == 1 else loss * (size / total)).backward()",
            "loss.backward()",
            "The gradients of several batches add up unweighted: each counts by its share of the samples.",
        ),
        swap(
            "(loss if len(batches) == 1 else loss * (size / total)).backward()",
            "(loss * (1 / len(batches))).backward()",
            "Every batch counts alike; a smaller one has to count less.",
        ),
        swap(
            "        if self.clip_norm is not None:\n            clip_grad_norm_(self.model.parameters(), "
            "self.clip_norm)\n",
            "",
            "The gradients are not clipped.",
        ),
        swap(
            '            self.refuse_nan(values["loss"])\n',
            "",
            "A loss of nan goes through and spoils the weights: refuse_nan has to see it first.",
        ),
        swap(
            "means.add(size, values)",
            "means.add(1, values)",
            "In the means every batch counts alike; a smaller one has to count less.",
        ),
        swap(
            "            means.add(size, values)\n",
            "            means = Means()\n            means.add(size, values)\n",
            "The means are those of the last batch alone.",
        ),
        swap(
            "self.updates += 1",
            "self.updates += len(batches)",
            "Each batch is counted; however many there are, they make one update.",
        ),
    ),
)


def trainer_of(model, lr=0.1, **settings):
    return Trainer(model, SGD(model.parameters(), lr=lr), mse_loss, progress=False, **settings)


@train_step.check("one step down the loss")
def _():
    model = line(1.0)
    means = trainer_of(model).train_step([batch((1.0, 3.0))])  # loss (w - 3)^2, slope 2 (1 - 3) = -4
    see("the weight 1 after a step of lr=0.1 on (x=1, y=3)", model.weight.detach()).gives([[1.4]])
    see("the mean loss", float(means.result()["loss"])).gives(4.0)


@train_step.check("the next step begins with fresh gradients")
def _():
    model = line(1.0)
    trainer = trainer_of(model)
    trainer.train_step([batch((1.0, 3.0))])
    trainer.train_step([batch((1.0, 3.0))])
    see("the weight after two steps", model.weight.detach()).gives([[1.72]])
    see("trainer.updates", trainer.updates).gives(2)


@train_step.check("several batches make the update of one large one")
def _():
    whole, parts = line(1.0), line(1.0)
    trainer_of(whole).train_step([batch((1.0, 3.0), (2.0, 1.0), (3.0, 5.0))])
    trainer = trainer_of(parts)
    means = trainer.train_step([batch((1.0, 3.0), (2.0, 1.0)), batch((3.0, 5.0))])
    see("the weight after batches of 2 and 1 samples", parts.weight.detach()).gives(whole.weight.detach())
    see("the mean loss of (1, 3), (2, 1) and (3, 5) at w = 1", float(means.result()["loss"])).gives(3.0)
    see("trainer.updates", trainer.updates).gives(1)


@train_step.check("the gradients are clipped")
def _():
    model = line(1.0)
    trainer_of(model, clip_norm=1.0).train_step([batch((1.0, 3.0))])
    see("the weight 1 after a step of lr=0.1 with clip_norm=1", model.weight.detach()).gives(
        [[1.1]], atol=1e-5
    )


@train_step.check("a loss of nan is an error, and the weights stay")
def _():
    model = line(1.0)
    raises(FloatingPointError, trainer_of(model).train_step, [batch((math.nan, 1.0))])
    see("the weight afterwards", model.weight.detach()).gives([[1.0]])
    see("its gradient, as nothing went backward", model.weight.grad).gives(None)


evaluate = exercises.add(
    "Trainer.evaluate",
    prompt="Return the means of loss and metrics over all samples of a loader, a dict: in evaluation "
    "mode, with nothing recorded. "
    "Afterwards, also after an error, the model is in the mode it was in before. A loader without a batch "
    "is a ValueError.",
    hints=(
        "self.model.eval() before, self.model.train(training) in a `finally` after; `with no_grad():` "
        "around the loop.",
        "means.add(len(self.pair(batch)[1]), self.measure(batch)[1]) weighs each batch by its samples.",
    ),
    mistakes=(
        swap(
            "        self.model.eval()\n",
            "",
            "The model stays in training mode: dropout and batch norm behave otherwise there.",
        ),
        swap(
            "            self.model.train(training)\n",
            "            self.model.train()\n",
            "A model that was in evaluation mode comes back in training mode: restore the mode it was in.",
        ),
        swap(
            "            with no_grad():\n                for batch",
            "            if True:\n                for batch",
            "Everything is recorded for a backward pass that never comes: no_grad saves that memory.",
        ),
        swap(
            "means.add(len(self.pair(batch)[1]), self.measure(batch)[1])",
            "means.add(1, self.measure(batch)[1])",
            "Every batch counts alike; the mean is over samples, so a smaller batch counts less.",
        ),
        swap(
            "        finally:\n            self.model.train(training)\n",
            "        except ZeroDivisionError:\n            pass\n        self.model.train(training)\n",
            "After an error the model stays in evaluation mode: that belongs into a `finally`.",
        ),
        swap(
            "        if not means.samples:\n",
            "        if False:\n",
            "A loader without a batch has no means: a ValueError says so.",
        ),
    ),
)


class Spy(Linear):
    """A Linear that notes in which mode it was called, and whether recording was on."""

    def __init__(self):
        super().__init__(1, 1, bias=False)
        self.weight.array[...] = 1.0
        self.__dict__["seen"] = []

    def forward(self, input):
        self.seen.append((self.training, is_grad_enabled()))
        return super().forward(input)


@evaluate.check("the mean over samples, not over batches")
def _():
    found = trainer_of(line(1.0)).evaluate([batch((1.0, 1.0), (2.0, 2.0), (3.0, 3.0)), batch((1.0, 3.0))])
    see("loss over three exact samples and one that is off by 2", float(found["loss"])).gives(1.0)


@evaluate.check("evaluation mode, and nothing recorded")
def _():
    model = Spy()
    trainer_of(model).evaluate([batch((1.0, 1.0))])
    see("(model.training, is_grad_enabled()) during evaluate", list(model.seen)).gives([(False, False)])


@evaluate.check("the mode comes back as it was")
def _():
    for mode in (True, False):
        model = line().train(mode)
        trainer_of(model).evaluate([batch((1.0, 1.0))])
        see(f"model.training after evaluate, {mode} before", model.training).gives(mode)


@evaluate.check("the mode comes back after an error, too")
def _():
    model = line().train(True)
    with suppress(TypeError):
        trainer_of(model).evaluate([5])
    see("model.training after an evaluate that failed", model.training).gives(True)


@evaluate.check("no batch is an error")
def _():
    raises(ValueError, trainer_of(line()).evaluate, [])


fit = exercises.add(
    "Trainer.fit",
    prompt="Train for `epochs` more epochs and return self.history: callbacks hear on_fit_start first, "
    "then self._run_epoch("
    "train_loader, val_loader, last) runs until self.epoch is `last` (self.epoch before plus epochs) or "
    "self.stopped is set. "
    "Set self.stopped to None first. resume: self.load(self.checkpoint, train_loader) after `last` was "
    "computed. "
    "on_fit_end is called for each callback in any case, also after an error; errors and "
    "KeyboardInterrupt go on. "
    "self._say(words) tells what happened; its words are yours.",
    hints=(
        "last = self.epoch + epochs comes before self.load, which changes self.epoch.",
        "A `while self.epoch < last and not self.stopped:` inside try/finally.",
        "for callback in self.callbacks: callback.on_fit_end(self) stands in the `finally`.",
    ),
    mistakes=(
        swap(
            "last, self.stopped = self.epoch + epochs, None",
            "last, self.stopped = epochs, None",
            "A second fit does nothing: `epochs` counts from where the trainer is.",
        ),
        swap(
            " and not self.stopped:",
            ":",
            "A callback that stops the training is not heard: look at self.stopped after each epoch.",
        ),
        swap("        return self.history", "        return None", "The history is not returned."),
        swap(
            "        finally:\n            for callback in self.callbacks:\n                "
            "callback.on_fit_end(self)\n",
            "        except ZeroDivisionError:\n            pass\n        else:\n            for callback "
            "in self.callbacks:\n"
            "                callback.on_fit_end(self)\n",
            "After an error on_fit_end is not called: it belongs into a `finally`.",
        ),
        swap(
            "last, self.stopped = self.epoch + epochs, None",
            "last = self.epoch + epochs",
            "A fit after one that was stopped does nothing: self.stopped begins as None.",
        ),
        swap(
            "self._run_epoch(train_loader, val_loader, last)",
            "self._run_epoch(train_loader, None, last)",
            "The validation set is not handed on to self._run_epoch.",
        ),
        swap(
            "            self.load(self.checkpoint, train_loader)\n",
            "            pass\n",
            "resume=True is ignored: it loads the checkpoint.",
        ),
        swap(
            "        last, self.stopped = self.epoch + epochs, None\n        if resume:\n"
            "            self.load(self.checkpoint, train_loader)\n",
            "        if resume:\n            self.load(self.checkpoint, train_loader)\n"
            "        last, self.stopped = self.epoch + epochs, None\n",
            "The epochs of the checkpoint come on top: `last` is computed before it is loaded.",
        ),
        swap(
            "            raise\n",
            "            pass\n",
            "Ctrl-C is swallowed; it has to go on, so that the program ends.",
        ),
        swap(
            "            for callback in self.callbacks:\n                callback.on_fit_end(self)\n",
            "            for callback in self.callbacks[:1]:\n                callback.on_fit_end(self)\n",
            "Only the first callback hears the end.",
        ),
    ),
)


class Diary(Callback):
    """Notes what it hears; stops after an epoch, if asked to."""

    def __init__(self, stop_after=0):
        self.heard, self.stop_after = [], stop_after

    def on_fit_start(self, trainer):
        self.heard.append("start")

    def on_epoch_end(self, trainer, logs):
        self.heard.append(f"epoch {trainer.epoch}")
        if trainer.epoch == self.stop_after:
            trainer.stop("enough")

    def on_fit_end(self, trainer):
        self.heard.append("end")


DATA = [batch((1.0, 3.0)), batch((2.0, 6.0))]


@fit.check("so many epochs, a number of each in the history")
def _():
    history = trainer_of(line(), lr=0.01).fit(DATA, epochs=3)
    see("how many losses are in the history after 3 epochs", len(history["loss"])).gives(3)
    see("the loss has fallen", history["loss"][2] < history["loss"][0]).gives(True)


@fit.check("a second call goes on")
def _():
    trainer = trainer_of(line(), lr=0.01)
    trainer.fit(DATA, epochs=2)
    trainer.fit(DATA, epochs=1)
    see("trainer.epoch after fit(epochs=2) and fit(epochs=1)", trainer.epoch).gives(3)


@fit.check("the validation set is looked at after each epoch")
def _():
    history = trainer_of(line(), lr=0.01).fit(DATA, DATA, epochs=2)
    see("how many val_loss are in the history", len(history.get("val_loss", []))).gives(2)


@fit.check("with resume the checkpoint's epochs count among the epochs")
def _():
    diary, asked = Diary(), []
    trainer = trainer_of(line(), lr=0.01, callbacks=[diary])

    def load(path, loader):
        asked.append(loader)
        trainer.epoch = 2

    trainer.load = load
    trainer.fit(DATA, epochs=3, resume=True)
    see("how often self.load was called with the train_loader", sum(x is DATA for x in asked)).gives(1)
    see("what a callback heard of 3 epochs, 2 of them in the checkpoint", diary.heard).gives(
        ["start", "epoch 3", "end"]
    )


@fit.check("callbacks hear start, each epoch and end")
def _():
    diary, other = Diary(), Diary()
    trainer_of(line(), lr=0.01, callbacks=[diary, other]).fit(DATA, epochs=2)
    see("what a callback heard", diary.heard).gives(["start", "epoch 1", "epoch 2", "end"])
    see("what another one heard", other.heard).gives(["start", "epoch 1", "epoch 2", "end"])


@fit.check("a callback can stop it")
def _():
    diary = Diary(stop_after=2)
    trainer = trainer_of(line(), lr=0.01, callbacks=[diary])
    trainer.fit(DATA, epochs=5)
    see("what a callback heard that stopped after epoch 2", diary.heard).gives(
        ["start", "epoch 1", "epoch 2", "end"]
    )
    trainer.fit(DATA, epochs=1)
    see("trainer.epoch after one more fit(epochs=1)", trainer.epoch).gives(3)


@fit.check("the end is heard after an error, too")
def _():
    diary = Diary()
    trainer = trainer_of(line(), callbacks=[diary])
    raises(FloatingPointError, trainer.fit, [batch((math.nan, 1.0))])
    see("what a callback heard of a fit that failed", diary.heard).gives(["start", "end"])


class Interrupted(Diary):
    """Ctrl-C at the end of the first epoch."""

    def on_epoch_end(self, trainer, logs):
        raise KeyboardInterrupt


@fit.check("Ctrl-C goes on, after the end was heard")
def _():
    diary = Interrupted()

    def fit_():
        trainer_of(line(), lr=0.01, callbacks=[diary]).fit(DATA, epochs=2)

    raises(KeyboardInterrupt, fit_)
    see("what a callback heard of a fit that was interrupted", diary.heard).gives(["start", "end"])

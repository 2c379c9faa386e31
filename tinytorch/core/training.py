"""07 Training: the loop around model, loss and optimizer, and what makes long runs bearable.

First the parts: gradient clipping and learning-rate schedules. Then the `Trainer`, which goes through the
data epoch by epoch, measures, keeps a history, and writes checkpoints from which a run goes on bit for bit.

Schedulers have PyTorch's names, arguments and rates: https://docs.pytorch.org/docs/stable/optim.html. More
of them are in `tinytorch.optim.lr_scheduler`.
"""

import math
import os
import sys
from itertools import islice
from time import perf_counter

import numpy as np

from ..utils.safetensors import load, save
from .autograd import no_grad
from .losses import cross_entropy
from .optimizers import Optimizer
from .tensor import Tensor, default_generator, tensor


def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False):
    """Scale all gradients together so that their joint norm is at most `max_norm`. Returns the norm before.

    The direction of the step stays the same: Pascanu et al. 2013, https://arxiv.org/abs/1211.5063.
    """
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = [g.array.reshape(-1) for g in gradients]
    if norm_type == 2:
        norm = math.sqrt(sum(float(np.vdot(g, g)) for g in flat))
    elif norm_type == math.inf:
        norm = max((float(np.abs(g).max()) for g in flat if g.size), default=0.0)
    else:
        norm = sum(float((np.abs(g) ** norm_type).sum()) for g in flat) ** (1 / norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(f"clip_grad_norm_: the norm of the gradients is {norm}")
    scale = max_norm / (norm + 1e-6)
    if not scale >= 1:  # also when the norm is nan: then every gradient becomes nan, which is seen
        for g in gradients:
            g.array *= scale
            g.memory.writes += 1
    return tensor(norm, gradients[0].dtype if gradients else None)


class LRScheduler:
    """Sets the learning rate of every parameter group: at once for step 0, then at each `step()`.

    A subclass writes `get_lr()`: one rate per group, from `base_lrs` (those the groups began with) and
    `last_epoch` (how many steps were made). A step is an epoch or a batch, as you like. One scheduler sets
    the rate; `optim.lr_scheduler.SequentialLR` joins several.
    """

    needs_metric = False

    def __init__(self, optimizer, last_epoch=-1):
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__}: an Optimizer is needed; {type(optimizer).__name__} came")
        self.optimizer, self.last_epoch = optimizer, last_epoch
        self.base_lrs = [group.setdefault("initial_lr", group["lr"]) for group in optimizer.param_groups]
        self.step()

    def get_lr(self):
        """The rate of each group after `last_epoch` steps."""
        raise NotImplementedError(f"{type(self).__name__}.get_lr")

    def step(self):
        """Go on by one step and set the rates."""
        self.last_epoch += 1
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr

    def get_last_lr(self):
        """The rates that are set now, one per group."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self):
        """Everything but the optimizer, whose own state_dict has the rates."""
        return {name: value for name, value in vars(self).items() if name != "optimizer"}

    def load_state_dict(self, state_dict):
        """Go on from where a scheduler of the same class was."""
        vars(self).update(state_dict)


class StepLR(LRScheduler):
    """Multiply the rate by `gamma` every `step_size` steps."""

    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [lr * self.gamma ** (self.last_epoch // self.step_size) for lr in self.base_lrs]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the base rate down to `eta_min` in `T_max` steps: Loshchilov & Hutter 2016,
    https://arxiv.org/abs/1608.03983.
    """

    def __init__(self, optimizer, T_max, eta_min=0.0, last_epoch=-1):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        height = (1 + math.cos(math.pi * self.last_epoch / self.T_max)) / 2
        return [self.eta_min + (lr - self.eta_min) * height for lr in self.base_lrs]


def accuracy(outputs, targets):
    """The share of samples whose largest output is at the target's place, a number from 0 to 1."""
    return float((outputs.argmax(-1) == targets).array.mean())


class Callback:
    """Something to do while a Trainer runs: override what you need; `trainer` knows the rest.

    What `state_dict` returns (numbers, strings, Tensors, dicts and lists of them) is kept in checkpoints.
    """

    def on_fit_start(self, trainer):
        """Before the first epoch."""

    def on_batch_end(self, trainer, loss):
        """After each update of the parameters; `loss` is a float."""

    def on_epoch_end(self, trainer, logs):
        """After each epoch, before its checkpoint; `logs` maps names to the numbers of the epoch."""

    def on_fit_end(self, trainer):
        """After the last epoch, an error or an interruption."""

    def state_dict(self):
        return {}

    def load_state_dict(self, state_dict):
        pass


class EarlyStopping(Callback):
    """Stop when `monitor` has not improved by more than `min_delta` for `patience` epochs.

    mode: "min" if smaller is better, "max" if larger is. restore_best: end with the best epoch's weights.
    """

    def __init__(self, monitor="val_loss", patience=5, min_delta=0.0, mode="min", restore_best=True):
        if mode not in ("min", "max"):
            raise ValueError(f"EarlyStopping: mode is 'min' or 'max'; '{mode}' came")
        self.monitor, self.patience, self.min_delta, self.mode = monitor, patience, min_delta, mode
        self.restore_best, self.best, self.waited, self.weights = restore_best, None, 0, None

    def on_epoch_end(self, trainer, logs):
        if self.monitor not in logs:
            raise KeyError(f"EarlyStopping: there is no '{self.monitor}' among {', '.join(logs)}")
        value = logs[self.monitor]
        gain = math.inf if self.best is None else (self.best - value) * (1 if self.mode == "min" else -1)
        if gain > self.min_delta:
            self.best, self.waited = value, 0
            if self.restore_best:
                self.weights = {name: tensor(value) for name, value in trainer.model.state_dict().items()}
        else:
            self.waited += 1
            if self.waited >= self.patience:
                trainer.stop(f"{self.monitor} has not improved on {self.best:.4g} for {self.waited} epochs")

    def on_fit_end(self, trainer):
        if self.weights is not None:
            trainer.model.load_state_dict(self.weights)

    def state_dict(self):
        return {"best": self.best, "waited": self.waited, "weights": self.weights}

    def load_state_dict(self, state_dict):
        vars(self).update(state_dict)


class Means:
    """Running means of several numbers, weighted by the number of samples."""

    def __init__(self):
        self.sums, self.samples = {}, 0

    def add(self, samples, values):
        self.samples += samples
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * samples

    def result(self):
        return {name: total / self.samples for name, total in self.sums.items()}


class Trainer:
    """Trains `model`: for each batch (inputs, targets) the loss is `loss_fn(model(inputs), targets)`.

    metrics: {name: function(outputs, targets) -> number}, averaged over the samples.
    scheduler: stepped after each "epoch" or each "batch" (each update), as `schedule` says.
    clip_norm: largest joint norm of the gradients. accumulate: batches whose gradients make one update.
    checkpoint: a path; the state is saved there after each epoch.
    progress: one line per epoch, and in a terminal a bar if tqdm is installed. False is silent.
    device: where the batches are moved to; the model has to be there.

    Attributes: `epoch` and `updates`, how many were made; `history`, {name: one number per epoch}.
    """

    def __init__(
        self, model, optimizer, loss_fn=cross_entropy, *, metrics=None, scheduler=None, schedule="epoch",
        clip_norm=None, accumulate=1, callbacks=(), checkpoint=None, progress=True, device=None,
    ):  # fmt: skip
        if schedule not in ("epoch", "batch"):
            raise ValueError(f"Trainer: schedule is 'epoch' or 'batch'; '{schedule}' came")
        if accumulate < 1:
            raise ValueError(f"Trainer: accumulate is at least 1; {accumulate} came")
        self.model, self.optimizer, self.loss_fn, self.metrics = model, optimizer, loss_fn, metrics or {}
        self.scheduler, self.schedule = scheduler, schedule
        self.clip_norm, self.accumulate, self.callbacks = clip_norm, accumulate, list(callbacks)
        self.checkpoint, self.progress, self.device = checkpoint, progress, device
        self.epoch, self.updates, self.history, self.stopped = 0, 0, {}, None

    def fit(self, train_loader, val_loader=None, epochs=1, resume=False):
        """Train for `epochs` epochs and return the history.

        resume: go on from the checkpoint; the epochs that it has behind it count among `epochs`.
        Ctrl-C ends the run with KeyboardInterrupt; the checkpoint of the last whole epoch stays.
        """
        last, self.stopped = self.epoch + epochs, None
        if resume:
            self.load(self.checkpoint, train_loader)
        for callback in self.callbacks:
            callback.on_fit_start(self)
        try:
            while self.epoch < last and not self.stopped:
                self._run_epoch(train_loader, val_loader, last)
            if self.stopped:
                self._say(f"stopped after epoch {self.epoch}: {self.stopped}")
        except KeyboardInterrupt:
            kept = f"epoch {self.epoch} is in {self.checkpoint}; fit(…, resume=True) goes on from it"
            saved = kept if self.checkpoint and self.epoch else "nothing was saved"
            self._say(f"interrupted in epoch {self.epoch + 1}; {saved}")
            raise
        finally:
            for callback in self.callbacks:
                callback.on_fit_end(self)
        return self.history

    def stop(self, reason):
        """Let fit end after the current epoch."""
        self.stopped = reason

    def _run_epoch(self, train_loader, val_loader, last):
        started, means = perf_counter(), Means()
        self.model.train()
        for batches in self._with_bar(grouped(train_loader, self.accumulate), train_loader, last):
            update = self.train_step(batches)
            values = update.result()
            means.add(update.samples, values)
            if self.schedule == "batch":
                self._step_scheduler(values)
            for callback in self.callbacks:
                callback.on_batch_end(self, values["loss"])
        if not means.samples:
            raise ValueError("fit: the loader gave no batch; is the data set empty, or used up?")
        logs = means.result() | {"lr": self.optimizer.param_groups[0]["lr"]}
        if val_loader is not None:
            logs |= {f"val_{name}": value for name, value in self.evaluate(val_loader).items()}
        logs["seconds"] = perf_counter() - started
        if self.schedule == "epoch":
            self._step_scheduler(logs)
        self.epoch += 1
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in logs.items())
        self._say(f"epoch {self.epoch}/{last}  {numbers}")
        for callback in self.callbacks:
            callback.on_epoch_end(self, logs)
        if self.checkpoint is not None:
            self.save(self.checkpoint, train_loader)

    def train_step(self, batches):
        """One update of the parameters, from the gradients of one or several batches. Returns the Means."""
        self.optimizer.zero_grad()
        means, total = Means(), sum(len(self.pair(batch)[1]) for batch in batches)
        for batch in batches:
            size = len(batch[1])
            loss, values = self.measure(batch)
            self.refuse_nan(values["loss"])
            (loss if len(batches) == 1 else loss * (size / total)).backward()
            means.add(size, values)
        if self.clip_norm is not None:
            clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        self.updates += 1
        return means

    def refuse_nan(self, loss):
        """A loss of nan or inf is an error before it reaches the parameters."""
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"fit: the loss is {loss} in epoch {self.epoch + 1}, update {self.updates + 1}. The weights "
                "are as before. Try a smaller learning rate or clip_norm, and look for nan in the inputs"
            )

    def evaluate(self, loader):
        """The mean loss and metrics over the samples of `loader`, as a dict, with the model in eval mode."""
        means, training = Means(), self.model.training
        self.model.eval()
        try:
            with no_grad():
                for batch in loader:
                    means.add(len(self.pair(batch)[1]), self.measure(batch)[1])
        finally:
            self.model.train(training)
        if not means.samples:
            raise ValueError("evaluate: the loader gave no batch")
        return means.result()

    def pair(self, batch):
        """A batch as (inputs, targets); a loader that gives something else is a TypeError."""
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            shown = f"{len(batch)} members" if isinstance(batch, (tuple, list)) else type(batch).__name__
            raise TypeError(f"Trainer: a batch is a pair (inputs, targets); the loader gave {shown}")
        return batch

    def measure(self, batch):
        """(the loss as a Tensor, {"loss": float and each metric: float}) of one batch."""
        inputs, targets = batch if self.device is None else (x.to(self.device) for x in batch)
        outputs = self.model(inputs)
        loss = self.loss_fn(outputs, targets)
        with no_grad():
            metrics = {name: float(metric(outputs, targets)) for name, metric in self.metrics.items()}
        return loss, {"loss": loss.item(), **metrics}

    def _step_scheduler(self, logs):
        if self.scheduler is None:
            return
        if self.scheduler.needs_metric:
            self.scheduler.step(logs.get("val_loss", logs["loss"]))
        else:
            self.scheduler.step()

    def save(self, path, loader=None):
        """Write what a later run needs to go on bit for bit, as .safetensors, whole or not at all."""
        generators = generators_of(loader)
        state = {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "loader": loader.state_dict() if hasattr(loader, "state_dict") else None,
            "callbacks": [callback.state_dict() for callback in self.callbacks],
            "random": [generator.numpy.bit_generator.state for generator in generators],
            "progress": {"epoch": self.epoch, "updates": self.updates, "history": self.history},
        }
        save(state, path)

    def load(self, path, loader=None):
        """Go on from what `save` wrote. Build model, optimizer and the rest as they were."""
        if path is None or not os.path.exists(path):
            raise FileNotFoundError(
                f"Trainer: there is no checkpoint {path or '(the Trainer was given no path)'}"
            )
        state = load(path)
        if not isinstance(state, dict) or "progress" not in state:
            raise ValueError(
                f"Trainer: {path} holds no training state; for weights alone use model.load_state_dict"
            )
        generators = generators_of(loader)
        for what, own in (("callbacks", self.callbacks), ("random", generators)):
            if len(state[what]) != len(own):
                counts = f"{len(state[what])} parts under '{what}', and this run has {len(own)}"
                raise ValueError(
                    f"Trainer: {path} has {counts}; build the Trainer and the loader as they were"
                )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None and state["scheduler"] is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        if state["loader"] is not None and hasattr(loader, "load_state_dict"):
            loader.load_state_dict(state["loader"])
        for callback, saved in zip(self.callbacks, state["callbacks"], strict=True):
            callback.load_state_dict(saved)
        for generator, saved in zip(generators, state["random"], strict=True):
            generator.numpy.bit_generator.state = saved
        vars(self).update(state["progress"])

    def _say(self, line):
        if self.progress:
            print(line, flush=True)

    def _with_bar(self, updates, loader, last):
        """`updates`, with a progress bar in a terminal if tqdm is installed."""
        if not self.progress or not sys.stderr.isatty():
            return updates
        try:
            from tqdm import tqdm
        except ImportError:
            return updates
        total = math.ceil(len(loader) / self.accumulate) if hasattr(loader, "__len__") else None
        return tqdm(updates, f"epoch {self.epoch + 1}/{last}", total, leave=False)


def grouped(items, size):
    """The items in lists of `size`; the last list may be shorter."""
    items = iter(items)
    while group := list(islice(items, size)):
        yield group


def generators_of(loader):
    """The streams of random numbers that a run draws from: the default one and the loader's own."""
    own = getattr(loader, "generator", None)
    return [default_generator] if own is None else [default_generator, own]

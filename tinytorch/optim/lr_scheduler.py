"""Learning-rate schedules in PyTorch's shape.

The base class and the schedules that core module 07 builds come from there; the others are breadth and stand
here, so that the module stays short. All of them give the rate as a formula of the step.
"""

import math
from bisect import bisect_right

from ..core.training import CosineAnnealingLR, LRScheduler, StepLR

__all__ = [
    "ConstantLR", "CosineAnnealingLR", "ExponentialLR", "LRScheduler", "LambdaLR", "LinearLR", "MultiStepLR",
    "OneCycleLR", "ReduceLROnPlateau", "SequentialLR", "StepLR",
]  # fmt: skip


class LambdaLR(LRScheduler):
    """The base rate times lr_lambda(step); a list has one function for each parameter group.

    Functions are not part of the state_dict: build the scheduler with the same ones again.
    """

    def __init__(self, optimizer, lr_lambda, last_epoch=-1):
        several = isinstance(lr_lambda, (list, tuple))
        self.lr_lambdas = list(lr_lambda) if several else [lr_lambda] * len(optimizer.param_groups)
        if len(self.lr_lambdas) != len(optimizer.param_groups):
            counts = f"{len(self.lr_lambdas)} functions came for {len(optimizer.param_groups)}"
            raise ValueError(f"LambdaLR: {counts} parameter groups")
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        pairs = zip(self.base_lrs, self.lr_lambdas, strict=True)
        return [lr * lr_lambda(self.last_epoch) for lr, lr_lambda in pairs]

    def state_dict(self):
        return {name: value for name, value in super().state_dict().items() if name != "lr_lambdas"}


class MultiStepLR(LRScheduler):
    """Multiply the rate by `gamma` at each of the `milestones` (steps)."""

    def __init__(self, optimizer, milestones, gamma=0.1, last_epoch=-1):
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [lr * self.gamma ** bisect_right(self.milestones, self.last_epoch) for lr in self.base_lrs]


class ConstantLR(LRScheduler):
    """factor × the base rate for `total_iters` steps, then the base rate."""

    def __init__(self, optimizer, factor=1 / 3, total_iters=5, last_epoch=-1):
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantLR: factor lies in [0, 1]; {factor} came")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [lr * (self.factor if self.last_epoch < self.total_iters else 1) for lr in self.base_lrs]


class ExponentialLR(LRScheduler):
    """Multiply the rate by `gamma` at every step."""

    def __init__(self, optimizer, gamma, last_epoch=-1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [lr * self.gamma**self.last_epoch for lr in self.base_lrs]


class LinearLR(LRScheduler):
    """A straight line from start_factor to end_factor times the base rate in `total_iters` steps."""

    def __init__(self, optimizer, start_factor=1 / 3, end_factor=1.0, total_iters=5, last_epoch=-1):
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: factors lie in (0, 1] and [0, 1]; {start_factor}, {end_factor} came")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        done = min(self.last_epoch / self.total_iters, 1)
        factor = self.start_factor + (self.end_factor - self.start_factor) * done
        return [lr * factor for lr in self.base_lrs]


class SequentialLR(LRScheduler):
    """One scheduler after the other; at each of the `milestones` (steps) the next one begins anew."""

    def __init__(self, optimizer, schedulers, milestones, last_epoch=-1):
        if len(milestones) != len(schedulers) - 1:
            counts = f"{len(schedulers)} schedulers and {len(milestones)} milestones"
            raise ValueError(f"SequentialLR: {counts} came; there is one milestone between two schedulers")
        if any(scheduler.optimizer is not optimizer for scheduler in schedulers):
            raise ValueError("SequentialLR: all schedulers belong to the same optimizer, the one given here")
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        super().__init__(optimizer, last_epoch)

    def step(self):
        self.last_epoch += 1
        current = bisect_right(self.milestones, self.last_epoch)
        scheduler = self.schedulers[current]
        scheduler.last_epoch = self.last_epoch - [0, *self.milestones][current] - 1
        scheduler.step()

    def state_dict(self):
        return super().state_dict() | {
            "schedulers": [scheduler.state_dict() for scheduler in self.schedulers]
        }

    def load_state_dict(self, state_dict):
        for scheduler, state in zip(self.schedulers, state_dict["schedulers"], strict=True):
            scheduler.load_state_dict(state)
        super().load_state_dict({**state_dict, "schedulers": self.schedulers})


class OneCycleLR(LRScheduler):
    """Up to `max_lr`, then down to almost nothing, while the momentum goes the other way: Smith & Topin 2017,
    https://arxiv.org/abs/1708.07120. Step it after every batch.

    The rate begins at max_lr / div_factor, peaks after `pct_start` of the steps, and ends at that beginning
    / final_div_factor; `three_phase` comes down to the beginning first, as fast as it went up.
    `total_steps`, or epochs × steps_per_epoch, is how many steps there are; one more is an error.
    """

    def __init__(
        self, optimizer, max_lr, total_steps=None, epochs=None, steps_per_epoch=None, pct_start=0.3,
        anneal_strategy="cos", cycle_momentum=True, base_momentum=0.85, max_momentum=0.95, div_factor=25.0,
        final_div_factor=1e4, three_phase=False, last_epoch=-1,
    ):  # fmt: skip
        if total_steps is None and (epochs is None or steps_per_epoch is None):
            raise ValueError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: anneal_strategy is 'cos' or 'linear'; '{anneal_strategy}' came")
        groups = optimizer.param_groups
        if cycle_momentum and any("momentum" not in group and "betas" not in group for group in groups):
            raise ValueError(f"OneCycleLR: {optimizer.name} has no momentum; pass cycle_momentum=False")
        self.total_steps = epochs * steps_per_epoch if total_steps is None else total_steps
        self.anneal_strategy, self.cycle_momentum = anneal_strategy, cycle_momentum
        peaks = list(max_lr) if isinstance(max_lr, (list, tuple)) else [max_lr] * len(groups)
        starts = [peak / div_factor for peak in peaks]
        ends = [start / final_div_factor for start in starts]
        up = pct_start * self.total_steps - 1
        if three_phase:
            self.ends_of_phases = [up, 2 * up, self.total_steps - 1]
            self.rates = [starts, peaks, starts, ends]
            self.momenta = [max_momentum, base_momentum, max_momentum, max_momentum]
        else:
            self.ends_of_phases = [up, self.total_steps - 1]
            self.rates = [starts, peaks, ends]
            self.momenta = [max_momentum, base_momentum, max_momentum]
        if last_epoch == -1:
            for group, start in zip(groups, starts, strict=True):
                group["initial_lr"] = start
        super().__init__(optimizer, last_epoch)

    def step(self):
        super().step()
        if self.cycle_momentum:
            phase, done = self.phase()
            momentum = self.between(self.momenta[phase], self.momenta[phase + 1], done)
            for group in self.optimizer.param_groups:
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum

    def get_lr(self):
        phase, done = self.phase()
        pairs = zip(self.rates[phase], self.rates[phase + 1], strict=True)
        return [self.between(start, end, done) for start, end in pairs]

    def phase(self):
        """(number of the current phase, how much of it is done from 0 to 1)"""
        if self.last_epoch > self.total_steps:
            raise ValueError(f"OneCycleLR: step {self.last_epoch} came; there are {self.total_steps} steps")
        begin = 0
        for phase, end in enumerate(self.ends_of_phases):
            if self.last_epoch <= end or phase == len(self.ends_of_phases) - 1:
                break
            begin = end
        return phase, (self.last_epoch - begin) / (end - begin)

    def between(self, start, end, done):
        """From start (done = 0) to end (done = 1), on half a cosine or a straight line."""
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2 * (1 + math.cos(math.pi * done))
        return start + (end - start) * done


class ReduceLROnPlateau(LRScheduler):
    """Multiply the rate by `factor` when the metric given to `step` has not improved for `patience` steps.

    mode "min": smaller is better. An improvement is more than `threshold`, as a part of the best value
    ("rel") or as it is ("abs"). After a reduction `cooldown` steps pass before counting begins again.
    """

    needs_metric = True

    def __init__(
        self, optimizer, mode="min", factor=0.1, patience=10, threshold=1e-4, threshold_mode="rel",
        cooldown=0, min_lr=0, eps=1e-8,
    ):  # fmt: skip
        if factor >= 1:
            raise ValueError(f"ReduceLROnPlateau: factor is below 1; {factor} came")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f"ReduceLROnPlateau: mode '{mode}' or threshold_mode '{threshold_mode}' is unknown"
            )
        self.optimizer, self.last_epoch = optimizer, 0
        self.mode, self.factor, self.patience, self.cooldown, self.eps = mode, factor, patience, cooldown, eps
        self.threshold, self.threshold_mode = threshold, threshold_mode
        several = isinstance(min_lr, (list, tuple))
        self.min_lrs = list(min_lr) if several else [min_lr] * len(optimizer.param_groups)
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = self.cooldown_counter = 0

    def step(self, metrics=None):
        """Go on by one step, given the metric's value after it."""
        if metrics is None:
            raise TypeError("ReduceLROnPlateau: step needs the metric's value, as in step(val_loss)")
        value = float(metrics)
        self.last_epoch += 1
        if self.is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, lowest in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                reduced = max(group["lr"] * self.factor, lowest)
                if group["lr"] - reduced > self.eps:
                    group["lr"] = reduced
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0

    def is_better(self, value):
        """Is `value` an improvement on the best so far?"""
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "abs":
            return sign * (value - self.best) > self.threshold
        return sign * value > sign * self.best * (1 + sign * self.threshold)

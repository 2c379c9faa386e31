"""06 Optimizers: from gradients to better parameters.

An optimizer is one rule, `update`, applied to every parameter that has a gradient. The rules below read
like their papers; what makes them fast stands in `Pack`: the parameters of a group live side by side in
one flat array, so that a rule runs over a few long arrays instead of many short ones, in chunks that
stay in the processor's cache.

Names, defaults, numerics and state dicts follow PyTorch 2: https://docs.pytorch.org/docs/stable/optim.html
"""

from collections import defaultdict
from itertools import accumulate, count, groupby, pairwise
from math import inf

import numpy as np

from .autograd import enable_grad
from .layers import Module
from .tensor import Tensor, wrap

CHUNK = 16 * 1024  # elements: values, gradient, two states and scratch of a chunk fit into a 512 KB cache

# Which values a setting may have: from the first number up to, but without, the second.
RANGES = {"betas": (0, 1)} | dict.fromkeys(
    ("lr", "eps", "weight_decay", "momentum", "alpha", "lr_decay", "initial_accumulator_value"), (0, inf)
)


class Pack:
    """Parameters of one dtype whose arrays become views of one flat array, with their state alongside."""

    def __init__(self, params):
        self.params, self.state, self.plans = params, {}, {}
        self.bounds = [0, *accumulate(p.array.size for p in params)]
        flat = [p.array.reshape(-1) for p in params]
        self.values = flat[0] if len(flat) == 1 else np.concatenate(flat)
        self.arrays = self.views(self.values)
        for p, view in zip(params, self.arrays, strict=True):
            p.array = view
        on_cpu = isinstance(self.values, np.ndarray)
        self.chunk = max(1, min(self.values.size, CHUNK if on_cpu else self.values.size))
        self.gradient, self.scratch = (np.empty_like(self.values, shape=self.chunk) for _ in range(2))

    def views(self, flat):
        """The part of each parameter in a flat array, in the parameter's shape."""
        parts = zip(self.params, pairwise(self.bounds), strict=True)
        return [flat[start:stop].reshape(p.shape) for p, (start, stop) in parts]

    def is_current(self):
        """Do the parameters still hold our views? Not after model.to(…), for example."""
        return all(p.array is view for p, view in zip(self.params, self.arrays, strict=True))

    def add_state(self, name, value, state):
        """One more flat array beside the values, filled with `value`, or with what `state` has already."""
        flat = self.state[name] = np.full_like(self.values, value)
        for p, view in zip(self.params, self.views(flat), strict=True):
            if name in state.get(p, ()):
                view[...] = state[p][name].array
                state[p][name] = wrap(view)
        self.plans.clear()

    def forget_state(self):
        """Drop the flat state, to be filled again from another `state`."""
        self.state, self.plans = {}, {}

    def chunks(self, first, last):
        """Parameters first to last in pieces of (values, gradient, {name: state}, scratch, a spare)."""
        gradients = [p.grad.array.reshape(-1) for p in self.params[first:last]]
        if (first, last) not in self.plans:
            self.plans[first, last] = list(self.planned(first, last))
        for values, state, scratch, spare, pieces in self.plans[first, last]:
            if len(pieces) == 1:  # the whole chunk lies in one parameter
                i, part, _ = pieces[0]
                gradient = gradients[i][part]
            else:
                gradient = spare
                for i, part, place in pieces:
                    gradient[place] = gradients[i][part]
            yield values, gradient, state, scratch, spare

    def planned(self, first, last):
        """The chunks of parameters first to last: views of the flat arrays, and where the gradients are."""
        bounds = self.bounds[first : last + 1]
        for start in range(bounds[0], bounds[-1], self.chunk):
            stop = min(start + self.chunk, bounds[-1])
            pieces = []
            for i, (begin, end) in enumerate(pairwise(bounds)):
                low, high = max(start, begin), min(stop, end)
                if low < high:
                    pieces.append((i, slice(low - begin, high - begin), slice(low - start, high - start)))
            state = {name: flat[start:stop] for name, flat in self.state.items()}
            size = stop - start
            yield self.values[start:stop], state, self.scratch[:size], self.gradient[:size], pieces


class Optimizer:
    """What all optimizers share: parameter groups, state, and the walk over the parameters in `step`.

    `params` is an iterable of Tensors, or of dicts {"params": …, "lr": …} whose settings differ from
    `defaults`. A subclass writes `update`, and `state_values` if its rule remembers something.

    `param_groups` is the list of dicts; a change of a setting there counts from the next step on.
    `state` maps a parameter to {"step": number of its updates, name: Tensor}. A parameter whose `grad`
    is None is skipped and its step not counted.
    """

    counts_steps = True

    def __init__(self, params, defaults):
        if isinstance(params, (Module, Tensor)):
            raise TypeError(f"{self.name}: give an iterable of parameters: {self.name}(model.parameters())")
        self.defaults, self.param_groups, self._packs = defaults, [], []
        self.state: dict = defaultdict(dict)
        groups = list(params)
        if not groups:
            raise ValueError(f"{self.name}: there are no parameters; was model.parameters() used up before?")
        for group in groups if isinstance(groups[0], dict) else [{"params": groups}]:
            self.add_param_group(group)

    @property
    def name(self):
        return type(self).__name__

    def state_values(self, group):
        """The arrays that the rule remembers for each parameter, as {name: the value they start with}."""
        return {}

    def update(self, group, step, p, g, state, scratch):
        """Change the values p in place, given their gradient g, in the step-th update (from 1).

        All arrays are 1-d and of one size. `state` holds the arrays named by `state_values`; scratch may be
        overwritten, g may not.
        """
        raise NotImplementedError(f"{self.name}.update")

    def add_param_group(self, group):
        """Optimize more parameters: {"params": Tensors, and the settings that differ from the defaults}."""
        params = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        group = {**self.defaults, **group, "params": params}
        for p in params:
            if not isinstance(p, Tensor):
                raise TypeError(f"{self.name}: parameters are Tensors; {type(p).__name__} came")
            if p.node is not None and not p.node.leaf:
                raise ValueError(f"{self.name}: a tensor of shape {p.shape} is a result, not a leaf")
        known = [id(p) for other in self.param_groups for p in other["params"]]
        if len({*known, *map(id, params)}) < len(known) + len(params):
            raise ValueError(f"{self.name}: a parameter appears twice; each belongs to one group, once")
        for setting, (low, high) in RANGES.items():
            given = group.get(setting, low)
            values = given if isinstance(given, (tuple, list)) else [given]
            if not all(low <= value < high for value in values):
                raise ValueError(f"{self.name}: {setting} is {given}; allowed is {low} <= {setting} < {high}")
        self.param_groups.append(group)
        self._packs.append(self._pack(params))

    def _pack(self, params):
        """Packs by dtype and device. A parameter that has views keeps its memory, in a pack of its own."""
        together = defaultdict(list)
        for p in params:
            together[p.dtype, type(p.array), id(p) if p.memory.viewed else None].append(p)
        return [Pack(members) for members in together.values()]

    def step(self, closure=None):
        """Update every parameter that has a gradient.

        `closure`, if given, computes the loss and its gradients first; its result is returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        with np.errstate(all="ignore"):
            for i, group in enumerate(self.param_groups):
                if not all(pack.is_current() for pack in self._packs[i]):
                    self._packs[i] = self._pack(group["params"])
                for pack in self._packs[i]:
                    self._step(group, pack)
        return loss

    def _step(self, group, pack):
        """Update a pack: neighbours that have gradients and were updated equally often make one run."""
        wanted, decay = self.state_values(group), group.get("weight_decay", 0)
        for name in wanted.keys() - pack.state.keys():
            pack.add_state(name, wanted[name], self.state)
        runs = groupby(range(len(pack.params)), lambda i: self._next_step(pack.params[i]))
        for step, run in [(step, list(run)) for step, run in runs if step is not None]:
            for p, g, state, scratch, spare in pack.chunks(run[0], run[-1] + 1):
                if group.get("maximize"):
                    g = np.negative(g, out=spare)
                if decay and group.get("decoupled_weight_decay"):
                    p *= 1 - group["lr"] * decay
                elif decay:
                    g = np.add(g, np.multiply(p, decay, out=scratch), out=spare)
                self.update(group, step, p, g, state, scratch)
            self._count(pack, run, step, wanted)

    def _next_step(self, p):
        """Which update of p comes next, from 1; None without a gradient. SGD tells only 1 from later."""
        if p.grad is None:
            return None
        if p.grad.shape != p.shape:
            raise ValueError(f"{self.name}: a gradient has shape {p.grad.shape}, its parameter {p.shape}")
        return self.state[p].get("step", 1) + 1 if self.state.get(p) else 1

    def _count(self, pack, run, step, wanted):
        """Note that the parameters of a run were updated; their first update gives them their state."""
        for i in run:
            p = pack.params[i]
            p.memory.writes += 1
            if step == 1 and wanted:
                start, stop = pack.bounds[i : i + 2]
                self.state[p] = {name: wrap(pack.state[name][start:stop].reshape(p.shape)) for name in wanted}
            if self.counts_steps:
                self.state[p]["step"] = step

    def zero_grad(self, set_to_none=True):
        """Forget the gradients, or (set_to_none=False) fill them with zeros."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none or p.grad is None:
                    p.grad = None
                else:
                    p.grad = wrap(np.zeros_like(p.grad.array))

    def state_dict(self):
        """{"state": {i: {name: value}}, "param_groups": [settings with the numbers i of their parameters]}.

        The Tensors share memory with the optimizer: save them before the next step, or copy them.
        """
        params = [p for group in self.param_groups for p in group["params"]]
        number = count()
        return {
            "state": {i: dict(self.state[p]) for i, p in enumerate(params) if self.state.get(p)},
            "param_groups": [
                {**group, "params": [next(number) for _ in group["params"]]} for group in self.param_groups
            ],
        }

    def load_state_dict(self, state_dict):
        """Go on from a state_dict of this class or of its twin in torch.optim; the values are copied."""
        saved = state_dict["param_groups"]
        sizes, own = ([len(g["params"]) for g in groups] for groups in (saved, self.param_groups))
        if sizes != own:
            raise ValueError(f"{self.name}: the state has groups of {sizes} parameters, this one of {own}")
        params = [p for group in self.param_groups for p in group["params"]]
        numbers = [number for group in saved for number in group["params"]]
        state: dict = defaultdict(dict)
        for p, number in zip(params, numbers, strict=True):
            for name, value in state_dict["state"].get(number, {}).items():
                if name == "step":
                    state[p][name] = int(value)
                elif value is not None:
                    state[p][name] = self._copied(name, value, p)
        for group, settings in zip(self.param_groups, saved, strict=True):
            group.update({name: value for name, value in settings.items() if name != "params"})
        self.state = state
        for packs in self._packs:
            for pack in packs:
                pack.forget_state()

    def _copied(self, name, value, p):
        if tuple(value.shape) != p.shape:
            raise ValueError(f"{self.name}: {name} has shape {tuple(value.shape)}, its parameter {p.shape}")
        value = value.detach() if isinstance(value, Tensor) else wrap(np.asarray(value))
        return wrap(value.to(p.device).array.astype(p.dtype))

    def __repr__(self):
        lines = [
            f"  group {i}: {len(group['params'])} parameters, "
            + ", ".join(f"{name}={value}" for name, value in group.items() if name != "params")
            for i, group in enumerate(self.param_groups)
        ]
        return "\n".join([f"{self.name}(", *lines, ")"])


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum as in Sutskever et al. 2013
    (https://proceedings.mlr.press/v28/sutskever13.html), in PyTorch's form: v ← μ·v + g, p ← p − lr·v.

    `nesterov` looks ahead along v; `dampening` d takes (1 − d)·g instead of g; `weight_decay` λ adds λ·p
    to the gradient; `maximize` climbs instead.
    """

    counts_steps = False

    def __init__(
        self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, *, maximize=False
    ):
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError(
                f"SGD: nesterov needs momentum > 0 and no dampening; {momentum}, {dampening} came"
            )
        settings = {"lr": lr, "momentum": momentum, "dampening": dampening}
        super().__init__(
            params, settings | {"weight_decay": weight_decay, "nesterov": nesterov, "maximize": maximize}
        )

    def state_values(self, group):
        return {"momentum_buffer": 0} if group["momentum"] else {}

    def update(self, group, step, p, g, state, scratch):
        momentum = group["momentum"]
        if momentum:
            v = state["momentum_buffer"]
            v *= momentum
            v += g if step == 1 else np.multiply(g, 1 - group["dampening"], out=scratch)
            if group["nesterov"]:
                g = np.add(g, np.multiply(v, momentum, out=scratch), out=scratch)
            else:
                g = v
        p -= np.multiply(g, group["lr"], out=scratch)


class Adam(Optimizer):
    """Adam: Kingma & Ba 2014, https://arxiv.org/abs/1412.6980, algorithm 1.

    A running mean m of the gradients sets the direction, a running mean v of their squares the size of each
    parameter's step. `amsgrad` uses the largest v so far (Reddi et al. 2018, https://arxiv.org/abs/1904.09237).
    """

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, *,
        maximize=False, decoupled_weight_decay=False,
    ):  # fmt: skip
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        super().__init__(
            params, settings | {"maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay}
        )

    def state_values(self, group):
        wanted = {"exp_avg": True, "exp_avg_sq": True, "max_exp_avg_sq": group["amsgrad"]}
        return {name: 0 for name, needed in wanted.items() if needed}

    def update(self, group, step, p, g, state, scratch):
        β1, β2 = group["betas"]
        m, v = state["exp_avg"], state["exp_avg_sq"]
        # m ← β₁·m + (1 − β₁)·g
        m *= β1
        m += np.multiply(g, 1 - β1, out=scratch)
        # v ← β₂·v + (1 − β₂)·g²
        v *= β2
        v += np.multiply(np.multiply(g, g, out=scratch), 1 - β2, out=scratch)
        if group["amsgrad"]:
            v = np.maximum(v, state["max_exp_avg_sq"], out=state["max_exp_avg_sq"])
        # p ← p − lr·m̂ / (√v̂ + ε), where m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ). The corrections are numbers,
        # so they are worked into lr and ε, as the paper proposes at the end of its section 2.
        correction = (1 - β2**step) ** 0.5
        root = np.sqrt(v, out=scratch)
        root += group["eps"] * correction
        change = np.divide(m, root, out=scratch)
        change *= group["lr"] * correction / (1 - β1**step)
        p -= change


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameters instead of entering the gradient:
    Loshchilov & Hutter 2017, https://arxiv.org/abs/1711.05101.
    """

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False, *,
        maximize=False,
    ):  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True
        )


class RMSprop(Optimizer):
    """Divide the gradient by the root of a running mean of its square: Hinton's lecture 6e,
    https://www.cs.toronto.edu/~tijmen/csc321/slides/lecture_slides_lec6.pdf. `centered` subtracts the squared
    running mean of the gradient first (Graves 2013, https://arxiv.org/abs/1308.0850).
    """

    def __init__(
        self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False, *,
        maximize=False,
    ):  # fmt: skip
        settings = {"lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered}
        super().__init__(params, settings | {"weight_decay": weight_decay, "maximize": maximize})

    def state_values(self, group):
        wanted = {"square_avg": True, "momentum_buffer": group["momentum"] > 0, "grad_avg": group["centered"]}
        return {name: 0 for name, needed in wanted.items() if needed}

    def update(self, group, step, p, g, state, scratch):
        α, square_avg = group["alpha"], state["square_avg"]
        square_avg *= α
        square_avg += np.multiply(np.multiply(g, g, out=scratch), 1 - α, out=scratch)
        variance = square_avg
        if group["centered"]:
            mean = state["grad_avg"]
            mean *= α
            mean += np.multiply(g, 1 - α, out=scratch)
            variance = np.subtract(square_avg, np.multiply(mean, mean, out=scratch), out=scratch)
        root = np.sqrt(variance, out=scratch)
        root += group["eps"]
        change = np.divide(g, root, out=scratch)
        if group["momentum"] > 0:
            v = state["momentum_buffer"]
            v *= group["momentum"]
            v += change
            change = v
        p -= np.multiply(change, group["lr"], out=scratch)


class Adagrad(Optimizer):
    """Divide the gradient by the root of the sum of all its squares so far: Duchi et al. 2011,
    https://jmlr.org/papers/v12/duchi11a.html.
    """

    def __init__(
        self, params, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10, *,
        maximize=False,
    ):  # fmt: skip
        settings = {"lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay}
        super().__init__(
            params, settings | {"initial_accumulator_value": initial_accumulator_value, "maximize": maximize}
        )

    def state_values(self, group):
        return {"sum": group["initial_accumulator_value"]}

    def update(self, group, step, p, g, state, scratch):
        total = state["sum"]
        total += np.multiply(g, g, out=scratch)
        root = np.sqrt(total, out=scratch)
        root += group["eps"]
        change = np.divide(g, root, out=scratch)
        change *= group["lr"] / (1 + (step - 1) * group["lr_decay"])
        p -= change

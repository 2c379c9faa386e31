"""Exercises of module 06, Optimizers."""

import numpy as np

from tinytorch.core.autograd import is_grad_enabled
from tinytorch.core.optimizers import SGD, Adagrad, Adam, Optimizer, RMSprop
from tinytorch.core.tensor import tensor

from ..checking import Exercises, see, swap, wrong

exercises = Exercises("optimizers")


def parameter(*numbers):
    """A float32 leaf that requires a gradient."""
    p = tensor(np.array(numbers, np.float32))
    p.requires_grad = True
    return p


def gradient(*numbers):
    return tensor(np.array(numbers, np.float32))


def after(optimizer, p, gradients):
    """The parameter after a step with each of these gradients."""
    for numbers in gradients:
        p.grad = gradient(*numbers)
        optimizer.step()
    return p.detach()


GRADIENTS = ((0.5, -1.0), (0.25, 2.0), (-1.0, 0.5))
START = (1.0, -2.0)


def expected_after(rule):
    """float64 parameters after GRADIENTS by a rule (p, g, step, memory) -> p."""
    p = np.array(START)
    memory: dict[str, np.ndarray] = {}
    for step, g in enumerate(GRADIENTS, 1):
        p = rule(p, np.array(g), step, memory)
    return p.astype(np.float32)


def kept_check(exercise, name, make):
    """What a rule remembers stays in the optimizer's own memory, which is saved with it."""

    @exercise.check("what it remembers is in the optimizer's state")
    def _():
        p = parameter(*START)
        optimizer = make(p)
        after(optimizer, p, GRADIENTS[:1])
        first = optimizer.state[p][name].array.copy()
        after(optimizer, p, GRADIENTS[1:])
        seen = see(f"optimizer.state[p][{name!r}] after three steps", optimizer.state[p][name].array)
        seen.satisfies(not np.allclose(first, seen.value), "another value than after one step")


zero_grad = exercises.add(
    "Optimizer.zero_grad",
    prompt="Forget the gradient of every parameter in every group: set `grad` to None, or, with "
    "set_to_none=False, to a Tensor of zeros in its shape and dtype. A gradient that is None stays None.",
    hints=(
        "Two loops: over self.param_groups, and over the list under 'params' of each.",
        "`np.zeros_like(p.grad.array)` makes the zeros, `wrap` makes a Tensor of them.",
    ),
    mistakes=(
        swap(
            'for group in self.param_groups:\n            for p in group["params"]:',
            'for group in self.param_groups[:1]:\n            for p in group["params"]:',
            "Only the first group is cleared; the gradients of the others pile up.",
        ),
        swap(
            "if set_to_none or p.grad is None:",
            "if True:",
            "set_to_none=False asks for zeros, and None came.",
        ),
        swap("p.grad = None", "p.grad = p.grad", "The gradients stay, and the next backward adds to them."),
        swap(
            "np.zeros_like(p.grad.array)",
            "np.zeros(p.grad.shape)",
            "np.zeros gives float64; the zeros have the gradient's dtype.",
        ),
        swap(
            "set_to_none or p.grad is None",
            "set_to_none",
            "A gradient that is None has no shape to fill; it stays None.",
        ),
        swap(
            "wrap(np.zeros_like(p.grad.array))",
            "np.zeros_like(p.grad.array)",
            "A gradient is a Tensor; an array came. `wrap` makes a Tensor of it.",
        ),
    ),
)


@zero_grad.check("no parameter has a gradient afterwards")
def _():
    p = parameter(1.0, 2.0)
    optimizer = SGD([p], lr=0.1)
    p.grad = gradient(3.0, 4.0)
    optimizer.zero_grad()
    see("p.grad after zero_grad()", p.grad).gives(None)


@zero_grad.check("every group is cleared")
def _():
    p, q = parameter(1.0), parameter(2.0)
    optimizer = SGD([{"params": [p]}, {"params": [q]}], lr=0.1)
    p.grad, q.grad = gradient(3.0), gradient(4.0)
    optimizer.zero_grad()
    see("[p.grad, q.grad] of two groups after zero_grad()", [p.grad, q.grad]).gives([None, None])


@zero_grad.check("with set_to_none=False the gradient is zeros, and None stays None")
def _():
    p, q = parameter(1.0, 2.0), parameter(1.0)
    optimizer = SGD([p, q], lr=0.1)
    p.grad = gradient(3.0, 4.0)
    optimizer.zero_grad(set_to_none=False)
    see("p.grad after zero_grad(set_to_none=False)", p.grad).gives(tensor([0.0, 0.0]))
    see("q.grad, which was None", q.grad).gives(None)


step = exercises.add(
    "Optimizer.step",
    prompt="Update every parameter that has a gradient, with np.errstate(all='ignore') around it. For "
    "each group i "
    "go over self._packs[i], which are packed anew with self._pack(group['params']) when one of them is not "
    "current, and call self._step(group, pack). A closure, if given, is called first with recording on, "
    "and its "
    "result is returned; without one the result is None.",
    hints=(
        "`enumerate(self.param_groups)` gives the group and its number; `pack.is_current()` tells whether "
        "the "
        "parameters' memory is still the pack's.",
        "`with enable_grad():` turns recording on around the closure, also inside no_grad.",
        "if closure is not None: … ; for i, group in …: if not all(pack.is_current() for pack in "
        "self._packs[i]): …; "
        "for pack in self._packs[i]: …; return loss",
    ),
    mistakes=(
        swap(
            "for i, group in enumerate(self.param_groups):",
            "for i, group in list(enumerate(self.param_groups))[:1]:",
            "Only the first group is updated.",
        ),
        swap(
            "                if not all(pack.is_current() for pack in self._packs[i]):\n"
            '                    self._packs[i] = self._pack(group["params"])\n',
            "",
            "A parameter whose memory was replaced since is not found any more: packs that are not "
            "current have to be "
            "made anew.",
        ),
        swap("return loss", "return None", "The closure's loss is lost: step returns it."),
        swap(
            'np.errstate(all="ignore")',
            "np.errstate()",
            "NumPy's warnings stay on; np.errstate(all='ignore') turns them off.",
        ),
        swap(
            "if not all(pack",
            "if not any(pack",
            "One parameter that has other memory is enough: the packs are made anew unless all are current.",
        ),
        swap(
            "for pack in self._packs[i]:\n                    self",
            "for pack in self._packs[i][:1]:\n                    self",
            "Only the first pack of a group is updated; parameters of another dtype are in one of their own.",
        ),
        swap(
            "loss = closure()\n",
            "closure()\n                loss = closure()\n",
            "The closure is called twice; it computes the gradients, and once is enough.",
        ),
        swap(
            "            with enable_grad():\n                loss = closure()",
            "            loss = closure()",
            "Inside no_grad the closure records nothing, and its backward finds no graph: enable_grad "
            "turns recording "
            "on around it.",
        ),
    ),
)


class Plain(Optimizer):
    """The rule p <- p - lr * g."""

    counts_steps = False

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    def update(self, group, step, p, g, state, scratch):
        p -= group["lr"] * g


@step.check("each parameter moves against its gradient")
def _():
    p, q = parameter(1.0, 2.0), parameter(3.0)
    optimizer = Plain([p, q], lr=0.1)
    p.grad, q.grad = gradient(1.0, -1.0), gradient(2.0)
    optimizer.step()
    see("p after a step of p - lr * g with lr=0.1 and gradient [1, -1]", p.detach()).gives([0.9, 2.1])
    see("q after the same step with gradient [2]", q.detach()).gives([2.8])


@step.check("a parameter without a gradient stays")
def _():
    p, q = parameter(1.0), parameter(3.0)
    p.grad = gradient(1.0)
    Plain([p, q], lr=0.5).step()
    see("q, whose grad is None, after a step", q.detach()).gives([3.0])


@step.check("every group moves, with its own learning rate")
def _():
    p, q = parameter(1.0), parameter(1.0)
    optimizer = Plain([{"params": [p]}, {"params": [q], "lr": 0.5}], lr=0.1)
    p.grad, q.grad = gradient(1.0), gradient(1.0)
    optimizer.step()
    see("p of the group with lr=0.1", p.detach()).gives([0.9])
    see("q of the group with lr=0.5", q.detach()).gives([0.5])


@step.check("a parameter that got other memory is found again")
def _():
    p = parameter(1.0)
    optimizer = Plain([p], lr=0.1)
    p.grad = gradient(1.0)
    optimizer.step()
    p.array = np.array([5.0], np.float32)
    p.grad = gradient(1.0)
    optimizer.step()
    see("p, which was given the memory [5], after a step", p.detach()).gives([4.9])


@step.check("parameters of two dtypes, one of which got other memory")
def _():
    p, q = parameter(1.0), tensor(np.array([1.0], np.float64))
    q.requires_grad = True
    optimizer = Plain([p, q], lr=0.5)
    p.grad, q.grad = gradient(1.0), tensor(np.array([1.0], np.float64))
    optimizer.step()
    see("p, float32, after a step", p.detach()).gives([0.5])
    see("q, float64, after a step", q.detach()).gives([0.5])
    for moved in (p, q):
        moved.array = np.array([5.0], moved.dtype)
        optimizer.step()
        see("the one that was given the memory [5], after a step", moved.detach()).gives([4.5])


@step.check("NumPy's warnings are off")
def _():
    seen = []

    class Asking(Plain):
        """A rule that notes what NumPy does about errors."""

        def update(self, group, step, p, g, state, scratch):
            seen.append(sorted(set(map(str, np.geterr().values()))))

    p = parameter(1.0)
    p.grad = gradient(1.0)
    with np.errstate(all="warn"):
        Asking([p], lr=0.1).step()
    see("values of np.geterr() during update", seen).gives([["ignore"]])


@step.check("a closure is called with recording on, and its loss comes back")
def _():
    from tinytorch.core.autograd import no_grad

    p, seen = parameter(1.0), []

    def closure():
        seen.append(is_grad_enabled())
        p.grad = gradient(1.0)
        return 7.0

    with no_grad():
        loss = Plain([p], lr=0.1).step(closure)
    see("is_grad_enabled() inside the closure", seen).gives([True])
    see("step(closure) of a closure that returns 7.0", loss).gives(7.0)
    see("p after step(closure)", p.detach()).gives([0.9])


sgd = exercises.add(
    "SGD.update",
    prompt="Change the 1-d array p in place. Without momentum: p ← p − lr·g. With momentum μ the buffer "
    "v = state['momentum_buffer'] changes in place: v ← μ·v + (1 − dampening)·g, in the first step (step "
    "== 1) "
    "v ← g whatever the dampening; then p ← p − lr·v, or with nesterov p ← p − lr·(g + μ·v). g must not "
    "change; "
    "scratch is memory of the same size that you may overwrite.",
    hints=(
        "Begin with the case of no momentum: one line. `p -= …` changes p in place, `p = p - …` does not.",
        "The buffer starts with zeros, so v *= momentum; v += g is right in the first step, too.",
        "With nesterov the direction is g + momentum * v, computed after v was updated.",
    ),
    mistakes=(
        wrong(
            """
            def update(self, group, step, p, g, state, scratch):
                p += group["lr"] * g
            """,
            "This climbs: the parameter has to move against its gradient.",
        ),
        swap(
            "v *= momentum\n",
            "v *= 0\n",
            "The velocity of the steps before is lost: the buffer keeps μ times itself, by `v *= …`.",
        ),
        swap(
            'v += g if step == 1 else np.multiply(g, 1 - group["dampening"], out=scratch)',
            'v += np.multiply(g, 1 - group["dampening"], out=scratch)',
            "Dampening acts on the first step, too; there the buffer becomes the whole gradient.",
        ),
        swap(
            "g = np.add(g, np.multiply(v, momentum, out=scratch), out=scratch)",
            "g = v",
            "Nesterov's step looks ahead: g + μ·v, not v alone.",
        ),
        swap(
            "np.multiply(v, momentum, out=scratch), out=scratch)",
            "v, out=scratch)",
            "Nesterov's step is g + μ·v; here v counts in full.",
        ),
        swap(
            "g = np.add(g, np.multiply(v, momentum, out=scratch), out=scratch)",
            "g += np.multiply(v, momentum, out=scratch)",
            "The gradient itself is changed; it belongs to the caller.",
        ),
        swap(
            "            v *= momentum\n",
            '            state["momentum_buffer"] = v = v * momentum\n',
            "The state got a new array, and the optimizer saves the old one: change the buffer in place.",
        ),
        wrong(
            """
            def update(self, group, step, p, g, state, scratch):
                v = state["momentum_buffer"]
                v[...] = group["momentum"] * v + (1 - group["momentum"]) * g
                p -= group["lr"] * v
            """,
            "This is a running mean, with 1 − μ before g; SGD's velocity takes the whole gradient.",
        ),
        wrong(
            """
            def update(self, group, step, p, g, state, scratch):
                mu, lr = group["momentum"], group["lr"]
                if not mu:
                    p -= lr * g
                    return
                v = state["momentum_buffer"]
                v[...] = mu * v - lr * (g if step == 1 else (1 - group["dampening"]) * g)
                p += mu * v - lr * g if group["nesterov"] else v
            """,
            "The learning rate is inside v, so a new rate does not act on the old velocity: v has no lr.",
        ),
        swap(
            'p -= np.multiply(g, group["lr"], out=scratch)',
            'p = p - np.multiply(g, group["lr"], out=scratch)',
            "`p = p - …` makes a new array and leaves the parameter as it was: change it in place.",
        ),
    ),
)


@sgd.check("one step without momentum is lr times the gradient")
def _():
    p = parameter(*START)
    see(
        "p = [1, -2] after SGD(lr=0.1) with the gradient [0.5, -1]", after(SGD([p], lr=0.1), p, GRADIENTS[:1])
    ).gives([0.95, -1.9])


@sgd.check("with momentum the steps add up")
def _():
    def rule(p, g, step, memory):
        memory["v"] = 0.9 * memory.get("v", 0) + g
        return p - 0.1 * memory["v"]

    p = parameter(*START)
    see("p after three steps of SGD(lr=0.1, momentum=0.9)", after(SGD([p], 0.1, 0.9), p, GRADIENTS)).gives(
        expected_after(rule)
    )


@sgd.check("the rate acts on the velocity, not inside it")
def _():
    p = parameter(*START)
    optimizer = SGD([p], 0.1, 0.9)
    after(optimizer, p, GRADIENTS[:1])
    optimizer.param_groups[0]["lr"] = 0.01
    found = after(optimizer, p, GRADIENTS[1:2])
    see("p after a step with lr=0.1 and one with lr=0.01, momentum=0.9", found).gives([0.943, -1.911])


@sgd.check("nesterov looks ahead")
def _():
    def rule(p, g, step, memory):
        memory["v"] = 0.9 * memory.get("v", 0) + g
        return p - 0.1 * (g + 0.9 * memory["v"])

    p = parameter(*START)
    optimizer = SGD([p], 0.1, 0.9, nesterov=True)
    see(
        "p after three steps of SGD(lr=0.1, momentum=0.9, nesterov=True)", after(optimizer, p, GRADIENTS)
    ).gives(expected_after(rule))


@sgd.check("dampening begins with the second step")
def _():
    def rule(p, g, step, memory):
        memory["v"] = 0.9 * memory.get("v", 0) + (g if step == 1 else 0.5 * g)
        return p - 0.1 * memory["v"]

    p = parameter(*START)
    optimizer = SGD([p], 0.1, 0.9, dampening=0.5)
    see(
        "p after three steps of SGD(lr=0.1, momentum=0.9, dampening=0.5)", after(optimizer, p, GRADIENTS)
    ).gives(expected_after(rule))


kept_check(sgd, "momentum_buffer", lambda p: SGD([p], 0.1, 0.9))


@sgd.check("the gradient is left as it was")
def _():
    p = parameter(*START)
    p.grad = gradient(0.5, -1.0)
    SGD([p], 0.1, 0.9, nesterov=True).step()
    see("p.grad after a step", p.grad).gives([0.5, -1.0])


adam = exercises.add(
    "Adam.update",
    prompt="Change p in place by Adam's rule, with (β₁, β₂) = group['betas'], m = state['exp_avg'] and v = "
    "state['exp_avg_sq'], both changed in place: m ← β₁·m + (1 − β₁)·g; v ← β₂·v + (1 − β₂)·g²; m̂ = m / "
    "(1 − β₁^step), "
    "v̂ = v / (1 − β₂^step); p ← p − lr·m̂ / (√v̂ + eps). With amsgrad, state['max_exp_avg_sq'] keeps the "
    "largest v "
    "so far, element by element, and stands in for v in the last two formulas. g must not change.",
    hints=(
        "Write the four formulas in this order. m, v and p have to change in place: `m *= β1; m += (1 - "
        "β1) * g`.",
        "m and v begin at zero, so early on they are too small: dividing by 1 − β^step corrects that. "
        "step counts from 1.",
        "np.maximum(v, largest, out=largest) keeps the largest so far.",
    ),
    mistakes=(
        wrong(
            """
            def update(self, group, step, p, g, state, scratch):
                b1, b2 = group["betas"]
                m, v = state["exp_avg"], state["exp_avg_sq"]
                m *= b1
                m += (1 - b1) * g
                v *= b2
                v += (1 - b2) * g * g
                if group["amsgrad"]:
                    v = np.maximum(v, state["max_exp_avg_sq"], out=state["max_exp_avg_sq"])
                p -= group["lr"] * m / (np.sqrt(v) + group["eps"])
            """,
            "The bias corrections are missing: m and v begin at zero, so divide them by 1 − β^step before "
            "they are used.",
        ),
        wrong(
            """
            def update(self, group, step, p, g, state, scratch):
                b1, b2 = group["betas"]
                m, v = state["exp_avg"], state["exp_avg_sq"]
                m *= b1
                m += (1 - b1) * g
                v *= b2
                v += (1 - b2) * g * g
                if group["amsgrad"]:
                    v = np.maximum(v, state["max_exp_avg_sq"], out=state["max_exp_avg_sq"])
                mean, square = m / (1 - b1**step), v / (1 - b2**step)
                p -= group["lr"] * mean / np.sqrt(square + group["eps"])
            """,
            "eps stands outside of the root: √v̂ + eps, not √(v̂ + eps).",
        ),
        swap(
            "np.multiply(np.multiply(g, g, out=scratch), 1 - β2, out=scratch)",
            "np.multiply(np.abs(g, out=scratch), 1 - β2, out=scratch)",
            "v is the running mean of the squared gradient, and here it is that of its size.",
        ),
        swap(
            'β1, β2 = group["betas"]',
            'β2, β1 = group["betas"]',
            "β₁ and β₂ are exchanged: the first belongs to m, the second to v.",
        ),
        swap(
            "np.multiply(np.multiply(g, g, out=scratch)",
            "np.multiply(np.multiply(g, g, out=g)",
            "The gradient itself is squared; it belongs to the caller.",
        ),
        swap(
            "        m *= β1\n",
            "        m = m * β1\n",
            "`m = m * …` makes a new array, and the running mean is forgotten: change it in place.",
        ),
        swap(
            "        m *= β1\n",
            '        state["exp_avg"] = m = m * β1\n',
            "The state got a new array, and the optimizer saves the old one: change the mean in place.",
        ),
        swap(
            "m += np.multiply(g, 1 - β1, out=scratch)",
            "m += g",
            "The new gradient counts in full; in a running mean it counts 1 − β₁.",
        ),
        swap('        root += group["eps"] * correction\n', "", "eps is missing below the root."),
        wrong(
            """
            def update(self, group, step, p, g, state, scratch):
                b1, b2 = group["betas"]
                m, v = state["exp_avg"], state["exp_avg_sq"]
                m[...] = b1 * m + (1 - b1) * g
                v[...] = b2 * v + (1 - b2) * g * g
                v_hat = v / (1 - b2**step)
                if group["amsgrad"]:
                    v_hat = np.maximum(v_hat, state["max_exp_avg_sq"], out=state["max_exp_avg_sq"])
                p -= group["lr"] * (m / (1 - b1**step)) / (np.sqrt(v_hat) + group["eps"])
            """,
            "amsgrad keeps the largest v before its correction, and corrects that.",
        ),
        swap(
            '        if group["amsgrad"]:\n'
            '            v = np.maximum(v, state["max_exp_avg_sq"], out=state["max_exp_avg_sq"])\n',
            "",
            "amsgrad is ignored: with it the largest v so far divides the step.",
        ),
    ),
)


def adam_rule(lr=0.1, betas=(0.9, 0.99), eps=1e-3, amsgrad=False):
    def rule(p, g, step, memory):
        memory["m"] = betas[0] * memory.get("m", 0) + (1 - betas[0]) * g
        memory["v"] = betas[1] * memory.get("v", 0) + (1 - betas[1]) * g * g
        memory["largest"] = np.maximum(memory["v"], memory.get("largest", 0))
        v = memory["largest"] if amsgrad else memory["v"]
        m = memory["m"] / (1 - betas[0] ** step)
        return p - lr * m / (np.sqrt(v / (1 - betas[1] ** step)) + eps)

    return rule


@adam.check("the first step is lr in size, against the sign of the gradient")
def _():
    p = parameter(1.0, -2.0)
    p.grad = gradient(0.001, -500.0)
    Adam([p], lr=0.1).step()
    see("p = [1, -2] after Adam(lr=0.1) with the gradient [0.001, -500]", p.detach()).gives(
        [0.9, -1.9], atol=1e-4
    )


@adam.check("three steps follow the formulas")
def _():
    p = parameter(*START)
    optimizer = Adam([p], lr=0.1, betas=(0.9, 0.99), eps=1e-3)
    see(
        "p after three steps of Adam(lr=0.1, betas=(0.9, 0.99), eps=0.001)", after(optimizer, p, GRADIENTS)
    ).gives(expected_after(adam_rule()))


@adam.check("amsgrad divides by the largest v so far")
def _():
    p, numbers = parameter(*START), ((3.0, 2.0), (0.0, 0.1), (0.1, 0.0))
    optimizer = Adam([p], lr=0.1, betas=(0.5, 0.5), eps=1e-3, amsgrad=True)
    rule, expected = adam_rule(0.1, (0.5, 0.5), 1e-3, True), np.array(START)
    memory: dict[str, np.ndarray] = {}
    for number, g in enumerate(numbers, 1):
        expected = rule(expected, np.array(g), number, memory)
    see("p after three steps of Adam(…, amsgrad=True)", after(optimizer, p, numbers)).gives(
        expected.astype(np.float32)
    )


kept_check(adam, "exp_avg", lambda p: Adam([p], 0.1))


@adam.check("the gradient is left as it was, and float32 stays float32")
def _():
    p = parameter(*START)
    p.grad = gradient(0.5, -1.0)
    Adam([p], lr=0.1).step()
    see("p.grad after a step", p.grad).gives([0.5, -1.0])
    see("the dtype of p after a step", str(p.dtype)).gives("float32")


rmsprop = exercises.add(
    "RMSprop.update",
    prompt="Change p in place: s = state['square_avg'] becomes α·s + (1 − α)·g² in place, with α = "
    "group['alpha'], and "
    "p ← p − lr·g / (√s + eps). With centered, a = state['grad_avg'] becomes α·a + (1 − α)·g, and s − a² "
    "stands under "
    "the root. With momentum μ > 0, b = state['momentum_buffer'] becomes μ·b + g / (√s + eps), and p ← p "
    "− lr·b.",
    hints=(
        "Like Adam without the running mean in the numerator and without corrections.",
        "Compute `change = g / (np.sqrt(variance) + eps)` first; momentum then works on `change`.",
    ),
    mistakes=(
        swap(
            "square_avg += np.multiply(np.multiply(g, g, out=scratch), 1 - α, out=scratch)",
            "square_avg += np.multiply(g, g, out=scratch)",
            "The new square counts in full; in a running mean it counts 1 − α.",
        ),
        swap(
            "square_avg *= α",
            "square_avg = square_avg * α",
            "`s = s * …` makes a new array, and the running mean is forgotten: change it in place.",
        ),
        swap(
            "out=scratch), 1 - α",
            "out=g), 1 - α",
            "The gradient itself is squared; it belongs to the caller.",
        ),
        swap(
            '        root += group["eps"]\n',
            '        root = np.sqrt(variance + group["eps"])\n',
            "eps stands outside of the root.",
        ),
        wrong(
            """
            def update(self, group, step, p, g, state, scratch):
                α, s = group["alpha"], state["square_avg"]
                s[...] = α * s + (1 - α) * g * g
                variance = s
                if group["centered"]:
                    state["grad_avg"][...] = α * state["grad_avg"] + (1 - α) * g
                    variance = s - state["grad_avg"] ** 2
                change = group["lr"] * g / (np.sqrt(variance) + group["eps"])
                if group["momentum"] > 0:
                    b = state["momentum_buffer"]
                    b[...] = group["momentum"] * b + change
                    change = b
                p -= change
            """,
            "The learning rate is inside b, so a new rate does not act on what b holds: b has no lr.",
        ),
        swap(
            "v += change",
            "v += g",
            "The buffer adds up plain gradients; momentum works on what was divided by the root.",
        ),
        swap(
            "variance = np.subtract(square_avg, np.multiply(mean, mean, out=scratch), out=scratch)",
            "square_avg -= mean * mean\n            variance = square_avg",
            "The running mean of the squares itself is changed: subtract into something else.",
        ),
        swap(
            "variance = np.subtract(square_avg, np.multiply(mean, mean, out=scratch), out=scratch)",
            "variance = square_avg",
            "centered subtracts the squared running mean of the gradient from the mean of its squares.",
        ),
        swap(
            "            change = v\n",
            "",
            "The momentum buffer is kept and not used: with momentum the step is lr times the buffer.",
        ),
    ),
)


def rmsprop_rule(momentum=0.0, centered=False, alpha=0.9, lr=0.1, eps=1e-3):
    def rule(p, g, step, memory):
        memory["s"] = alpha * memory.get("s", 0) + (1 - alpha) * g * g
        memory["a"] = alpha * memory.get("a", 0) + (1 - alpha) * g
        variance = memory["s"] - memory["a"] ** 2 if centered else memory["s"]
        change = g / (np.sqrt(variance) + eps)
        memory["b"] = momentum * memory.get("b", 0) + change
        return p - lr * memory["b"]

    return rule


def check_rmsprop(words, **settings):
    p = parameter(*START)
    optimizer = RMSprop([p], lr=0.1, alpha=0.9, eps=1e-3, **settings)
    see(f"p after three steps of RMSprop({words})", after(optimizer, p, GRADIENTS)).gives(
        expected_after(rmsprop_rule(**settings))
    )


@rmsprop.check("the gradient is divided by the root of its running square")
def _():
    check_rmsprop("lr=0.1, alpha=0.9, eps=0.001")


@rmsprop.check("centered uses the variance")
def _():
    check_rmsprop("…, centered=True", centered=True)


@rmsprop.check("momentum adds up what was divided")
def _():
    check_rmsprop("…, momentum=0.5", momentum=0.5)


@rmsprop.check("the rate acts on the buffer, not inside it")
def _():
    p = parameter(0.0)
    optimizer = RMSprop([p], 0.1, alpha=0.75, eps=0.0, momentum=0.5)
    after(optimizer, p, ((1.0,),))
    optimizer.param_groups[0]["lr"] = 0.0
    see("p after a step with lr=0.1 and one with lr=0", after(optimizer, p, ((1.0,),))).gives([-0.2])


kept_check(rmsprop, "square_avg", lambda p: RMSprop([p], 0.1))


@rmsprop.check("the gradient is left as it was")
def _():
    p = parameter(*START)
    p.grad = gradient(0.5, -1.0)
    RMSprop([p], 0.1, momentum=0.5, centered=True).step()
    see("p.grad after a step", p.grad).gives([0.5, -1.0])


adagrad = exercises.add(
    "Adagrad.update",
    prompt="Change p in place: the sum s = state['sum'] grows by g² in place, and p ← p − lr_t·g / (√s + "
    "eps) with "
    "lr_t = lr / (1 + (step − 1)·lr_decay). The settings are in `group`; g must not change.",
    hints=(
        "Add the square first, then divide by the root of the new sum.",
        "`state['sum'] += g * g` changes the sum in place; step counts from 1.",
    ),
    mistakes=(
        swap(
            "total += np.multiply(g, g, out=scratch)",
            "total[...] = np.multiply(g, g, out=scratch)",
            "The squares of the steps before are forgotten: the sum grows in place, by `s += …`.",
        ),
        swap(
            '(step - 1) * group["lr_decay"]',
            'step * group["lr_decay"]',
            "The learning rate decays one step too early: the first step has the whole lr.",
        ),
        swap(' / (1 + (step - 1) * group["lr_decay"])', "", "lr_decay is ignored."),
        swap(
            "total += np.multiply(g, g, out=scratch)",
            'state["sum"] = total = total + g * g',
            "The state got a new array, and the optimizer saves the old one: change the sum in place.",
        ),
        swap(
            "total += np.multiply(g, g, out=scratch)",
            "total += np.multiply(g, g, out=g)",
            "The gradient itself is squared; it belongs to the caller.",
        ),
        swap(
            '        root += group["eps"]\n',
            '        root = np.sqrt(total + group["eps"])\n',
            "eps stands outside of the root.",
        ),
        swap('        root += group["eps"]\n', "", "eps is missing below the root."),
    ),
)


def adagrad_rule(lr_decay=0.0, eps=1e-10):
    def rule(p, g, step, memory):
        memory["s"] = memory.get("s", 0) + g * g
        return p - 0.1 / (1 + (step - 1) * lr_decay) * g / (np.sqrt(memory["s"]) + eps)

    return rule


@adagrad.check("the first step is lr in size")
def _():
    p = parameter(1.0, -2.0)
    see(
        "p = [1, -2] after Adagrad(lr=0.1) with the gradient [0.5, -1]",
        after(Adagrad([p], 0.1), p, GRADIENTS[:1]),
    ).gives([0.9, -1.9])


@adagrad.check("the squares of all steps add up")
def _():
    p = parameter(*START)
    see("p after three steps of Adagrad(lr=0.1)", after(Adagrad([p], 0.1), p, GRADIENTS)).gives(
        expected_after(adagrad_rule())
    )


@adagrad.check("eps is added to the root")
def _():
    p = parameter(*START)
    found = after(Adagrad([p], 0.1, eps=0.5), p, GRADIENTS)
    see("p after three steps of Adagrad(lr=0.1, eps=0.5)", found).gives(expected_after(adagrad_rule(eps=0.5)))


@adagrad.check("the learning rate decays from the second step on")
def _():
    p = parameter(*START)
    see(
        "p after three steps of Adagrad(lr=0.1, lr_decay=0.5)", after(Adagrad([p], 0.1, 0.5), p, GRADIENTS)
    ).gives(expected_after(adagrad_rule(0.5)))


kept_check(adagrad, "sum", lambda p: Adagrad([p], 0.1))


@adagrad.check("the gradient is left as it was")
def _():
    p = parameter(*START)
    p.grad = gradient(0.5, -1.0)
    Adagrad([p], 0.1).step()
    see("p.grad after a step", p.grad).gives([0.5, -1.0])

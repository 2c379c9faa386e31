"""Exercises of module 03, Layers."""

import numpy as np

from tinytorch.core import layers
from tinytorch.core.layers import Linear, Module, Parameter, Sequential
from tinytorch.core.tensor import Generator, tensor

from ..checking import Exercises, call, raises, see, swap, wrong
from .tensor import connected

exercises = Exercises("layers")


def grid(*shape, seed=3):
    """Numbers of both signs, float32."""
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def single(*numbers):
    """A float32 array."""
    return np.array(numbers, np.float32)


class Scale(Module):
    """Multiplies by a learned number."""

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = Parameter(tensor([factor]))

    def forward(self, input):
        return input * self.factor


class Shift(Module):
    """Adds a learned number."""

    def __init__(self, amount=1.0):
        super().__init__()
        self.amount = Parameter(tensor([amount]))

    def forward(self, input):
        return input + self.amount


class Pair(Module):
    """Two modules and a parameter of its own."""

    def __init__(self, first, second):
        super().__init__()
        self.first, self.second = first, second
        self.weight = Parameter(tensor([1.0, 2.0]))


setattr_ = exercises.add(
    "Module.__setattr__",
    prompt=(
        "A Parameter goes into self.__dict__['_parameters'], a Module into '_modules', each under its name; "
        "a new value for a name that is registered goes into the registry that holds the name; all else "
        "becomes a normal attribute. A name moves when its new value belongs to another registry. Before "
        "super().__init__() a Parameter or Module is an AttributeError; None may take the place of a member, "
        "another kind is a TypeError and changes nothing."
    ),
    hints=(
        "`self._registry_of(name)` is the registry that has the name now, or None. isinstance tells where "
        "the value belongs.",
        "`object.__setattr__(self, name, value)` sets a normal attribute; `self._check_kind(registry, name, "
        "value)` raises the TypeError.",
        "Delete the name from where it was (the other registry, or self.__dict__), then "
        "self.__dict__[registry][name] = value.",
    ),
    mistakes=(
        wrong(
            """
            def __setattr__(self, name, value):
                object.__setattr__(self, name, value)
            """,
            "Everything becomes a normal attribute: parameters and modules have to be registered, or no walk "
            "finds them.",
        ),
        swap(
            'elif isinstance(value, Module):\n            registry = "_modules"\n        ',
            "",
            "Modules are not registered: what they hold is then not found by the walk.",
        ),
        swap(
            "        if held not in (None, registry):\n            del self.__dict__[held][name]\n",
            "",
            "The name stays in its old registry as well: it has to be deleted there when its value moves.",
        ),
        swap(
            "        self._check_kind(registry, name, value)\n",
            "",
            "A value of any kind can take the place of a parameter: self._check_kind refuses the wrong ones.",
        ),
        swap(
            "self.__dict__[registry][name] = value",
            "self.__dict__[registry][name] = self.__dict__[name] = value",
            "A member is registered and no normal attribute as well, which Python would find first.",
        ),
        swap(
            "        self.__dict__.pop(name, None)\n",
            "",
            "The normal attribute of that name is still there, and Python finds it first: delete it.",
        ),
        swap(
            "if registry not in self.__dict__:",
            "if False:",
            "Before super().__init__() there is no registry, and a KeyError came of it. Look whether it is "
            "in self.__dict__, and raise an AttributeError.",
        ),
        swap(
            "        self._check_kind(registry, name, value)\n        if held not in (None, registry):\n",
            "        if held is not None:\n            del self.__dict__[held][name]\n"
            "        self._check_kind(registry, name, value)\n        if False:\n",
            "The old value was gone before the new one was refused: check the kind first.",
        ),
        swap(
            "elif held is not None:",
            'elif held == "_parameters" or held == "_modules":',
            "Buffers are registered, too: a new value for one stays in its registry.",
        ),
        swap(
            "elif held is not None:\n            registry = held",
            'elif held is not None or isinstance(value, Tensor):\n            registry = held or "_buffers"',
            "A Tensor that nobody registered is a normal attribute; register_buffer makes buffers.",
        ),
    ),
)


@setattr_.check("a parameter is registered")
def _():
    module = Module()
    module.weight = Parameter(tensor([1.0]))
    see("list(module._parameters) after module.weight = Parameter(…)", list(module._parameters)).gives(
        ["weight"]
    )
    see("'weight' in vars(module)", "weight" in vars(module)).gives(False)


@setattr_.check("a module is registered, other values are not")
def _():
    module = Module()
    module.inner, module.size = Module(), 3
    see("list(module._modules) after module.inner = Module()", list(module._modules)).gives(["inner"])
    see("module.size after module.size = 3", module.size).gives(3)
    see("list(module._parameters)", list(module._parameters)).gives([])


@setattr_.check("a name moves with the kind of its value")
def _():
    module = Module()
    module.part = Parameter(tensor([1.0]))
    module.part = Module()
    see("list(module._parameters) after module.part became a Module", list(module._parameters)).gives([])
    module.size = 3
    module.size = Module()
    see("'size' in vars(module) after it became a Module", "size" in vars(module)).gives(False)


@setattr_.check("None may take a parameter's place, a number may not")
def _():
    module = Module()
    module.weight = Parameter(tensor([1.0]))
    module.weight = None
    see("module._parameters after module.weight = None", dict(module._parameters)).gives({"weight": None})
    raises(TypeError, setattr, module, "weight", 3)
    see("module._parameters after module.weight = 3", dict(module._parameters)).gives({"weight": None})


@setattr_.check("a buffer's new value is in its registry, a mere Tensor in none")
def _():
    module = Module()
    module.register_buffer("mean", tensor([0.0]))
    module.mean, module.note = tensor([1.0]), tensor([2.0])
    see("module._buffers['mean'] after module.mean = tensor([1.0])", module._buffers["mean"]).gives([1.0])
    see("list(module._buffers) after module.note = tensor([2.0])", list(module._buffers)).gives(["mean"])


@setattr_.check("before super().__init__() a parameter is an error")
def _():
    def assign_too_early():
        Module.__new__(Module).weight = Parameter(tensor([1.0]))

    raises(AttributeError, assign_too_early)


named_modules = exercises.add(
    "Module.named_modules",
    prompt=(
        "Yield (path, module) for this module, whose path is `prefix`, and then for each of _modules in "
        "order, with all that is below it before the next; members that are None are left out. Paths are "
        'joined with dots: "first.0". `memo`, if there is one, is the set of modules seen: one that is in it '
        "is not visited again; with remove_duplicate=False nothing is put into it."
    ),
    hints=(
        "A tree is walked by a function that calls itself for every child.",
        "`yield from module.named_modules(seen, path, remove_duplicate)` hands on what the child yields.",
        "The path of a child is its name alone where prefix is empty, else prefix, a dot and the name.",
    ),
    mistakes=(
        swap(
            "yield from module.named_modules(seen, path, remove_duplicate)",
            "yield path, module",
            "Only the direct children are visited; the walk goes down to the modules inside them.",
        ),
        swap(
            "        yield prefix, self\n",
            "",
            "No module is yielded at all: each yields itself before its children.",
        ),
        swap(
            'f"{prefix}.{name}" if prefix else name',
            "name",
            "The path of a module has the names of all above it, joined with dots.",
        ),
        swap(
            "        if remove_duplicate:\n            seen.add(self)\n",
            "",
            "A module that is reachable by two paths comes twice: remember what was seen.",
        ),
        swap("if module is not None:", "if True:", "A member may be None, and there is nothing to visit."),
        swap(
            'f"{prefix}.{name}" if prefix else name',
            'f"{prefix}.{name}"',
            "Where the prefix is empty there is no dot: the path of a direct child is its name.",
        ),
        swap(
            "(seen, path, remove_duplicate)",
            "(seen, path)",
            "remove_duplicate is not handed on to the children.",
        ),
        swap(
            "(seen, path, remove_duplicate)",
            "(None, path, remove_duplicate)",
            "The children do not know what was seen: hand the set on to them.",
        ),
        swap(
            "set() if memo is None else memo",
            "memo or set()",
            "An empty set counts as false, and the memo that was given stays empty; ask whether it is None.",
        ),
        swap(
            "        yield prefix, self\n",
            "",
            "The module comes after those inside it; it is the first.",
            (
                "yield from module.named_modules(seen, path, remove_duplicate)",
                "yield from module.named_modules(seen, path, remove_duplicate)\n        yield prefix, self",
            ),
        ),
        wrong(
            """
            def named_modules(self, memo=None, prefix="", remove_duplicate=True):
                seen, waiting = set() if memo is None else memo, [(prefix, self)]
                while waiting:
                    path, module = waiting.pop(0)
                    if module is None or module in seen:
                        continue
                    if remove_duplicate:
                        seen.add(module)
                    yield path, module
                    start = f"{path}." if path else ""
                    waiting += [(start + name, child) for name, child in module._modules.items()]
            """,
            "This goes level by level: what is inside a module comes before the module's next neighbour.",
        ),
    ),
)


def paths(module, **settings):
    return [path for path, _ in module.named_modules(**settings)]


@named_modules.check("a module and its two children")
def _():
    pair = Pair(Scale(), Shift())
    see("the paths of a Pair of two modules", paths(pair)).gives(["", "first", "second"])


@named_modules.check("the walk goes all the way down, paths are joined")
def _():
    net = Pair(Pair(Scale(), Shift()), Scale())
    expected = ["", "first", "first.first", "first.second", "second"]
    see("the paths of a Pair in a Pair", paths(net)).gives(expected)
    see("with prefix='net'", paths(net, prefix="net")).gives(
        ["net", "net.first", "net.first.first", "net.first.second", "net.second"]
    )


@named_modules.check("a shared module comes once, or with remove_duplicate=False twice")
def _():
    shared = Scale()
    pair = Pair(shared, shared)
    see("the paths of a Pair of the same module", paths(pair)).gives(["", "first"])
    see("with remove_duplicate=False", paths(pair, remove_duplicate=False)).gives(["", "first", "second"])


@named_modules.check("a member that is None is left out")
def _():
    pair = Pair(Scale(), Shift())
    pair.first = None
    see("the paths after pair.first = None", paths(pair)).gives(["", "second"])


@named_modules.check("memo is what was seen")
def _():
    pair = Pair(Scale(), Shift())
    memo: set[Module] = set()
    see("the paths with an empty memo", paths(pair, memo=memo)).gives(["", "first", "second"])
    see("the number of modules in it afterwards", len(memo)).gives(3)
    see("the paths with pair.first in memo", paths(pair, memo={pair.first})).gives(["", "second"])


def shared_below(shared):
    return Pair(Pair(shared, Shift()), shared)


@named_modules.check("a module that is shared by two levels")
def _():
    net = shared_below(Scale())
    see("the paths", paths(net)).gives(["", "first", "first.first", "first.second"])


apply = exercises.add(
    "Module.apply",
    prompt=(
        "Call fn(module) for every module of the tree, the children in their order and each before the "
        "module that it is in, and return this module."
    ),
    hints=(
        "The children do the same for themselves, and this module comes last.",
        "`self.children()` gives the modules directly below.",
    ),
    mistakes=(
        wrong(
            """
            def apply(self, fn):
                for module in self.modules():
                    fn(module)
                return self
            """,
            "The outer module comes before the inner ones; the inner ones come first.",
        ),
        wrong(
            """
            def apply(self, fn):
                for child in self.children():
                    fn(child)
                fn(self)
                return self
            """,
            "fn reaches the direct children only; each child has to apply it to its own children.",
        ),
        swap(
            "        return self\n",
            "",
            "Nothing is returned: apply returns this module, so that calls can be chained.",
        ),
        wrong(
            """
            def apply(self, fn):
                for module in reversed(list(self.modules())):
                    fn(module)
                return self
            """,
            "The inner ones come first, but the last child before the first; children keep their order.",
        ),
        wrong(
            """
            def apply(self, fn):
                for child in self.children():
                    child.apply(fn)
                    fn(child)
                return self
            """,
            "fn is not called for this module itself.",
        ),
        swap(
            "self.children()",
            "self._modules.values()",
            "A member may be None; self.children() leaves it out.",
        ),
    ),
)


@apply.check("children before their parent")
def _():
    seen = []
    Pair(Scale(), Shift()).apply(lambda module: seen.append(type(module).__name__))
    see("the order in which fn was called", seen).gives(["Scale", "Shift", "Pair"])


@apply.check("all the way down")
def _():
    seen = []
    Pair(Pair(Scale(), Shift()), Scale()).apply(lambda module: seen.append(type(module).__name__))
    see("the order in which fn was called", seen).gives(["Scale", "Shift", "Pair", "Scale", "Pair"])


@apply.check("a member that is None is left out")
def _():
    seen, pair = [], Pair(Scale(), Shift())
    pair.first = None
    pair.apply(lambda module: seen.append(type(module).__name__))
    see("the modules that fn was called with", seen).gives(["Shift", "Pair"])


@apply.check("this module comes back")
def _():
    pair = Pair(Scale(), Shift())
    see("whether pair.apply(fn) is pair", pair.apply(lambda module: None) is pair).gives(True)


train = exercises.add(
    "Module.train",
    prompt=(
        "Set the attribute `training` of this module and of every module below it to `mode`, and "
        "return this module."
    ),
    hints=("One walk over the tree, one assignment for each module.", "`self.modules()` gives all of them."),
    mistakes=(
        wrong(
            "def train(self, mode=True):\n    self.training = mode\n    return self",
            "Only this module changes its mode; a Dropout inside it would not hear of it.",
        ),
        swap(
            "module.training = mode",
            "module.training = True",
            "`mode` is ignored: train(False) has to turn training off.",
        ),
        swap("        return self\n", "", "Nothing is returned: train returns this module."),
        wrong(
            """
            def train(self, mode=True):
                for module in (self, *self.children()):
                    module.training = mode
                return self
            """,
            "Only this module and its direct children change; the walk has to go all the way down.",
        ),
        wrong(
            """
            def train(self, mode=True):
                for child in self.children():
                    child.train(mode)
                return self
            """,
            "Nobody sets `training` of the module itself.",
        ),
        swap(
            "module.training = mode",
            "module.training = not module.training",
            "Each call turns the mode round; train(False) after train(False) is still False.",
        ),
    ),
)


def modes(net):
    return [module.training for module in net.modules()]


@train.check("training is turned off in the whole tree")
def _():
    net = Pair(Pair(Scale(), Shift()), Scale())
    net.train(False)
    see("training of all modules after train(False)", modes(net)).gives([False] * 5)
    net.train(False)
    see("training of all modules after train(False) once more", modes(net)).gives([False] * 5)


@train.check("and on")
def _():
    net = Pair(Pair(Scale(), Shift()), Scale())
    for module in net.modules():
        module.training = False
    net.train()
    see("training of all modules after train()", modes(net)).gives([True] * 5)


@train.check("other modules stay as they are")
def _():
    net, other = Scale(), Scale()
    try:
        net.train(False)
        see("training of another module after net.train(False)", other.training).gives(True)
    finally:
        Module.training = True


@train.check("this module comes back")
def _():
    net = Scale()
    see("whether net.train() is net", net.train() is net).gives(True)


linear = exercises.add(
    "linear",
    prompt=(
        "Return x W^T + b for arrays: input (..., in), weight (out, in), bias (out,) or None, result (..., "
        "out), in the input's dtype. A last dimension that is not `in` and a bias of another size are a "
        "ValueError."
    ),
    hints=(
        "Each row of the weight belongs to one output: the product is taken with the transposed weight.",
        "`input @ weight.T` works for any number of leading dimensions; check the shapes before.",
    ),
    mistakes=(
        wrong(
            """
            def linear(input, weight, bias=None):
                return input @ weight + (0 if bias is None else bias)
            """,
            "The weight is (out, in): it has to be transposed for the product.",
        ),
        swap(
            "if bias is not None:\n        out += bias\n",
            "if bias is not None:\n        out -= bias\n",
            "The bias is subtracted; it is added.",
        ),
        wrong(
            """
            def linear(input, weight, bias=None):
                return input @ weight.T
            """,
            "The bias is not added.",
        ),
        wrong(
            """
            def linear(input, weight, bias=None):
                out = input.reshape(-1, input.shape[-1]) @ weight.T
                return out if bias is None else out + bias
            """,
            "The leading dimensions are lost: the result is (..., out), as many rows as the input has.",
        ),
        swap(
            "if bias is not None and bias.shape != weight.shape[:1]:",
            "if False:",
            "A bias of one number broadcasts over all outputs without an error; compare its size with `out`.",
        ),
        wrong(
            """
            def linear(input, weight, bias=None):
                if bias is not None and bias.shape != weight.shape[:1]:
                    raise ValueError(f"the bias is {bias.shape}, and the weight has {len(weight)} outputs")
                return input @ weight.T + bias
            """,
            "The bias may be None, and None cannot be added.",
        ),
    ),
)


@linear.check("two features become three")
def _():
    weight, bias = tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 2.0]]), tensor([0.0, 10.0, 0.0])
    call(layers.linear, tensor([[3.0, 4.0]]), weight, bias).gives(tensor([[3.0, 14.0, 11.0]]))


@linear.check("a square weight, without bias")
def _():
    call(layers.linear, tensor([[1.0, 1.0]]), tensor([[1.0, 2.0], [3.0, 4.0]])).gives(tensor([[3.0, 7.0]]))


@linear.check("any leading dimensions, and none")
def _():
    x, w, b = grid(2, 3, 4), grid(2, 4), grid(2)
    wide = np.einsum("abi,oi->abo", x.astype(np.float64), w) + b
    call(layers.linear, tensor(x), tensor(w), tensor(b)).gives(wide.astype(np.float32))
    call(layers.linear, tensor(x[0, 0]), tensor(w), tensor(b)).gives(wide[0, 0].astype(np.float32))


@linear.check("float64 stays float64, and the bias as it was")
def _():
    x, w, b = (grid(*shape).astype(np.float64) for shape in ((2, 4), (3, 4), (3,)))
    bias = tensor(b)
    call(layers.linear, tensor(x), tensor(w), bias).gives(np.einsum("bi,oi->bo", x, w) + b)
    see("the bias after linear(x, weight, bias)", bias).gives(b)


@linear.check("shapes that do not fit are errors")
def _():
    raises(ValueError, layers.linear, tensor(grid(2, 3)), tensor(grid(2, 4)))
    raises(ValueError, layers.linear, tensor(grid(2, 3)), tensor(grid(2, 3)), tensor(grid(1)))


reset = exercises.add(
    "Linear.reset_parameters",
    prompt=(
        "Fill the weight and, if there is one, the bias with new random numbers, uniform from "
        "-1 / sqrt(in_features) to 1 / sqrt(in_features). They stay the same Parameters."
    ),
    hints=(
        "`uniform_(parameter, a, b)` fills a tensor in place.",
        "The bias may be None: `self.parameters()` gives only what is there.",
    ),
    mistakes=(
        swap("-bound, bound", "0, bound", "The numbers are all positive; they lie on both sides of 0."),
        swap(
            "sqrt(self.in_features)",
            "sqrt(self.out_features)",
            "The bound belongs to the number of inputs, in_features, not to the outputs.",
        ),
        swap(
            "1 / sqrt(self.in_features)",
            "1",
            "The bound is not made smaller with the number of inputs: it is 1 / sqrt(in_features).",
        ),
        swap(
            "for parameter in self.parameters():\n            uniform_(parameter, -bound, bound)",
            "uniform_(self.weight, -bound, bound)",
            "The bias is not drawn; it begins within the same bounds as the weight.",
        ),
        swap(
            "1 / sqrt(self.in_features)",
            "1 / self.in_features",
            "The bound is 1 / in_features; the square root is missing.",
        ),
        swap(
            "uniform_(parameter, -bound, bound)",
            "fill(parameter, default_generator.numpy.normal(0, bound, parameter.shape))",
            "These are normal numbers, which may be of any size; uniform ones stay within the bounds.",
        ),
        swap(
            "for parameter in self.parameters():\n            uniform_(parameter, -bound, bound)",
            "uniform_(self.weight, -bound, bound)\n        uniform_(self.bias, -bound, bound)",
            "The bias may be None, and there is nothing to fill.",
        ),
        swap(
            "uniform_(parameter, -bound, bound)",
            "fill(parameter, np.random.default_rng(0).uniform(-bound, bound, parameter.shape))",
            "A generator with a fixed seed draws the same numbers each time.",
        ),
        wrong(
            """
            def reset_parameters(self):
                bound = 1 / sqrt(self.in_features)
                for name, parameter in list(self.named_parameters()):
                    fresh = default_generator.numpy.uniform(-bound, bound, parameter.shape)
                    setattr(self, name, Parameter(tensor(fresh, dtype=parameter.dtype)))
            """,
            "These are new Parameters, and an optimizer would still hold the old ones: fill those.",
        ),
    ),
)


def drawn_again(layer):
    for parameter in layer.parameters():
        layers.fill(parameter, 0)
    layer.reset_parameters()
    return layer


@reset.check("numbers on both sides of 0, within 1 / sqrt(in_features)")
def _():
    weight = drawn_again(Linear(16, 40)).weight.array
    low, high = float(weight.min()), float(weight.max())
    see("the smallest of 640 weights for in_features = 16", low).satisfies(-0.25 <= low < -0.2, "near -0.25")
    see("the largest of 640 weights for in_features = 16", high).satisfies(0.2 < high <= 0.25, "near 0.25")


@reset.check("the bias is drawn, too, in place")
def _():
    layer = Linear(4, 50)
    weight, bias = layer.weight, layer.bias
    high = float(np.abs(drawn_again(layer).bias.array).max())
    see("the largest size of 50 biases for in_features = 4", high).satisfies(0.3 < high <= 0.5, "near 0.5")
    see("whether the weight is the same Parameter", layer.weight is weight).gives(True)
    see("whether the bias is the same Parameter", layer.bias is bias).gives(True)


@reset.check("other numbers each time")
def _():
    layer = drawn_again(Linear(4, 5))
    first = layer.weight.array.copy()
    layer.reset_parameters()
    see("whether the second time gave the same weights", np.array_equal(first, layer.weight.array)).gives(
        False
    )


@reset.check("a layer without bias")
def _():
    layer = drawn_again(Linear(4, 50, bias=False))
    high = float(np.abs(layer.weight.array).max())
    see("the largest size of 200 weights for in_features = 4", high).satisfies(0.4 < high <= 0.5, "near 0.5")


dropout = exercises.add(
    "dropout",
    prompt=(
        "In training, return a new Tensor in which each number is 0 with probability p and the others are "
        "multiplied by 1 / (1 - p), in the input's dtype; an Op multiplies, such as `mul`. Draw from "
        "`generator`, or default_generator. Not in training or for p = 0 the input comes back; p = 1 gives "
        "zeros, a p outside of 0 to 1 is a ValueError."
    ),
    hints=(
        "A mask of the input's shape: random numbers from 0 to 1, compared with p.",
        "`(generator or default_generator).numpy.random(shape, float32)` draws them; `mul(input, "
        "mask)` applies the mask.",
        "The mask holds 0 or 1 / (1 - p); for p = 1 nothing may be divided by 0.",
    ),
    mistakes=(
        swap(
            "1 / (1 - p) if p < 1 else 0",
            "1",
            "The numbers that are kept are not scaled: multiply them by 1 / (1 - p), and the mean stays.",
        ),
        swap(">= p", "< p", "Kept and dropped are exchanged: p is the probability to become 0."),
        swap(
            "not training or p == 0",
            "p == 0",
            "Numbers are dropped outside of training as well; there the input comes back.",
        ),
        swap(
            "(generator or default_generator)",
            "default_generator",
            "The generator that was given is not used.",
        ),
        swap(
            "1 / (1 - p) if p < 1 else 0",
            "1 / p",
            "The factor is 1 / p; p is the share that is lost, and 1 - p the one that stays.",
        ),
        swap(
            "1 / (1 - p) if p < 1 else 0",
            "1 / np.float64(1 - p)",
            "For p = 1 this divides by 0, and 0 * inf is nan.",
        ),
        swap(
            ".random(input.shape, float32)",
            ".random((len(input),) + (1,) * (input.ndim - 1), float32)",
            "Whole rows live or die together; each number has a chance of its own.",
        ),
        swap(
            "mul(input, np.asarray(mask, like=input.array))",
            "tensor(input.array * mask)",
            "The product was taken outside of the Ops: no gradient will flow through it. `mul` is an Op.",
        ),
        swap(
            "return mul(input, np.asarray(mask, like=input.array))",
            "input.array[...] *= mask; return input",
            "This writes into the input. Whoever called dropout still needs it: return a new Tensor.",
        ),
        swap(
            "dtype=input.dtype",
            "dtype=float64",
            "A mask of float64 makes the result float64; give it the input's dtype.",
        ),
        swap("not 0 <= p <= 1", "p > 1", "A p below 0 is no probability either."),
    ),
)


@dropout.check("with p = 0.75, a quarter stays, four times as large")
def _():
    out = layers.dropout(tensor(np.ones(400, np.float32)), 0.75).array
    kinds = sorted(set(out.tolist()))
    see("the different numbers in dropout(ones(400), 0.75)", kinds).gives([0.0, 4.0])
    share = float((out != 0).mean())
    see("the share of numbers that stay for p = 0.75", share).satisfies(0.15 < share < 0.35, "near 0.25")


@dropout.check("each number by itself, in the input's dtype, which is left as it was")
def _():
    for dtype in (np.float32, np.float64):
        x = tensor(np.ones((20, 30), dtype))
        out = layers.dropout(x, 0.5)
        see("the dtype of dropout(x, 0.5)", str(out.dtype)).gives(str(x.dtype))
        mixed = [0 < float((row != 0).mean()) < 1 for row in out.array]
        see("whether every row of dropout(ones(20, 30), 0.5) has kept and lost some", all(mixed)).gives(True)
        see("the smallest of x after dropout(x, 0.5)", float(x.array.min())).gives(1.0)


@dropout.check("an Op multiplies")
def _():
    done = connected(lambda x: layers.dropout(x, 0.5), tensor([1.0, 2.0]))
    see("whether Ops lead from x to dropout(x, 0.5)", done).gives(True)


@dropout.check("nothing happens outside of training or for p = 0")
def _():
    call(layers.dropout, tensor([1.0, 2.0, 3.0, 4.0] * 2), 0.5, training=False).gives(
        tensor([1.0, 2.0, 3.0, 4.0] * 2)
    )
    call(layers.dropout, tensor([1.0, 2.0]), 0.0).gives(tensor([1.0, 2.0]))


@dropout.check("the same generator drops the same numbers")
def _():
    x = tensor(np.ones(50, np.float32))
    first = layers.dropout(x, 0.5, generator=Generator(7))
    again = layers.dropout(x, 0.5, generator=Generator(7))
    other = layers.dropout(x, 0.5, generator=Generator(8))
    see("dropout(x, 0.5, generator=Generator(7)), again", again).gives(first)
    same = np.array_equal(first.array, other.array)
    see("whether Generator(8) drops the same numbers as Generator(7)", same).gives(False)


@dropout.check("p = 1 gives zeros, p = 2 and p = -0.5 are errors")
def _():
    call(layers.dropout, tensor([1.0, 2.0]), 1.0).gives(tensor([0.0, 0.0]))
    raises(ValueError, layers.dropout, tensor([1.0, 2.0]), 2)
    raises(ValueError, layers.dropout, tensor([1.0, 2.0]), -0.5)


forward = exercises.add(
    "Sequential.forward",
    prompt=(
        "Run the modules one after another: the first on the input, each next one on what the one "
        "before returned. With no modules the input comes back."
    ),
    hints=("One variable that every module replaces.", "`self._modules.values()` are the modules in order."),
    mistakes=(
        wrong(
            """
            def forward(self, input):
                for module in self._modules.values():
                    out = module(input)
                return out
            """,
            "Every module gets the first input; each has to get what the one before returned.",
        ),
        wrong(
            """
            def forward(self, input):
                for module in reversed(self._modules.values()):
                    input = module(input)
                return input
            """,
            "The modules run from the last to the first.",
        ),
        wrong(
            """
            def forward(self, input):
                for module in self._modules.values():
                    return module(input)
                return input
            """,
            "The return is inside the loop: only the first module runs.",
        ),
        wrong(
            """
            def forward(self, input):
                for module in self._modules.values():
                    out = input = module(input)
                return out
            """,
            "With no modules there is no `out` yet: let the variable begin as the input.",
        ),
        wrong(
            """
            def forward(self, input):
                for module in self.children():
                    input = module(input)
                return input
            """,
            "A module that stands there twice runs twice; children() gives each once.",
        ),
        wrong(
            """
            def forward(self, input):
                for number in range(len(self)):
                    input = self._modules[str(number)](input)
                return input
            """,
            "The names need not be numbers: a Sequential of a dict has the dict's names.",
        ),
        wrong(
            """
            def forward(self, input):
                for module in list(self.modules())[1:]:
                    input = module(input)
                return input
            """,
            "modules() also gives the modules inside of modules, which run a second time here.",
        ),
    ),
)


def run(*modules):
    return Sequential(*modules)(tensor([2.0]))


@forward.check("two modules, the first first")
def _():
    see("Sequential(Scale(10), Shift(1))(tensor([2]))", run(Scale(10.0), Shift(1.0))).gives(tensor([21.0]))


@forward.check("three modules, and none")
def _():
    out = run(Shift(1.0), Scale(10.0), Shift(2.0))
    see("Sequential(Shift(1), Scale(10), Shift(2))(tensor([2]))", out).gives(tensor([32.0]))
    see("Sequential()(tensor([2]))", run()).gives(tensor([2.0]))


@forward.check("the same module twice")
def _():
    double = Scale(2.0)
    out = run(double, double)
    see("Sequential(double, double)(tensor([2])) for double = Scale(2)", out).gives(tensor([8.0]))


@forward.check("modules under names, and a Sequential inside")
def _():
    out = run({"first": Scale(10.0), "second": Shift(1.0)})
    see("Sequential({'first': Scale(10), 'second': Shift(1)})(tensor([2]))", out).gives(tensor([21.0]))
    out = run(Sequential(Scale(10.0), Shift(1.0)), Shift(2.0))
    see("Sequential(Sequential(Scale(10), Shift(1)), Shift(2))(tensor([2]))", out).gives(tensor([23.0]))


load = exercises.add(
    "Module.load_state_dict",
    prompt=(
        "Copy the numbers of a state_dict, {path: Tensor or NumPy array}, into the memory of this module's "
        "own parameters and buffers, and return IncompatibleKeys(missing, unexpected), two lists of paths. "
        "With strict, missing or unexpected paths are a RuntimeError that names them; a wrong shape always "
        "is one. After an error nothing was loaded."
    ),
    hints=(
        "`dict(self._saved_tensors())` is what this module has; compare its keys with those of state_dict.",
        "Collect all problems first, raise if there is one, and copy only then.",
        "`fill(own[key], values)` writes an array into a tensor's memory; value.array is a Tensor's array.",
    ),
    mistakes=(
        swap(
            "if problems:",
            "if False:",
            "Nothing is refused: missing and unexpected paths and wrong shapes are errors.",
        ),
        swap(
            "if strict and missing else []",
            "if missing else []",
            "strict=False is ignored: then paths that only one side has are no error.",
        ),
        swap(
            "fill(own[key], value.detach().to(own[key].device).array if isinstance(value, Tensor) else "
            "value)",
            "own[key].array = value",
            "The module lies on the memory of the state_dict now; the numbers have to be copied into "
            "its own.",
        ),
        swap(
            "fill(own[key], value.detach().to(own[key].device).array if isinstance(value, Tensor) else "
            "value)",
            "own[key].array = np.array(value.array if isinstance(value, Tensor) else value)",
            "The numbers were copied, but into new memory; what shares the old one does not see them. `fill` "
            "writes into it.",
        ),
        swap(
            "value.detach().to(own[key].device).array if isinstance(value, Tensor) else value",
            "value.array",
            "A NumPy array has no attribute `array`; a state_dict may hold both.",
        ),
        swap(
            "IncompatibleKeys(missing, unexpected)",
            "None",
            "Nothing is returned: the paths that are missing and those that are unexpected come back.",
        ),
        swap(
            "IncompatibleKeys(missing, unexpected)",
            "IncompatibleKeys(unexpected, missing)",
            "The two lists are exchanged: first what the state_dict lacks, then what the module lacks.",
        ),
        swap(
            "dict(self._saved_tensors())",
            "dict(self.named_parameters())",
            "Buffers are loaded, too; self._saved_tensors() has all that is saved.",
        ),
        swap(
            "elif tuple(value.shape) != own[key].shape:",
            "elif prod(value.shape) != prod(own[key].shape):",
            "As many numbers in another shape are not the same weights: compare the shapes.",
            (
                "value.detach().to(own[key].device).array if isinstance(value, Tensor) else value",
                "np.reshape(value.array if isinstance(value, Tensor) else value, own[key].shape)",
            ),
        ),
        swap(
            "elif tuple(value.shape) != own[key].shape:",
            "elif strict and tuple(value.shape) != own[key].shape:",
            "strict is about the paths; a wrong shape is an error without it, too.",
        ),
        wrong(
            """
            def load_state_dict(self, state_dict, strict=True):
                own = dict(self._saved_tensors())
                missing = [key for key in own if key not in state_dict]
                unexpected = [key for key in state_dict if key not in own]
                if strict and missing + unexpected:
                    raise RuntimeError(f"missing: {missing}, unexpected: {unexpected}")
                for key, value in state_dict.items():
                    if key in own:
                        if value.shape != own[key].shape:
                            raise RuntimeError(f"{key}: {own[key].shape} here, {value.shape} came")
                        fill(own[key], value.array if isinstance(value, Tensor) else value)
                return IncompatibleKeys(missing, unexpected)
            """,
            "What came before the wrong shape was already loaded: look at all shapes first, then copy.",
        ),
    ),
)


@load.check("the numbers are copied")
def _():
    module, weight = Scale(1.0), single(5.0)
    module.load_state_dict({"factor": weight})
    see("module.factor after loading 5", module.factor).gives(tensor([5.0]))
    weight[0] = 7
    see("module.factor after the state_dict's array became 7", module.factor).gives(tensor([5.0]))


@load.check("buffers as well, into the module's own memory")
def _():
    module = Scale(1.0)
    module.register_buffer("count", tensor([0.0]))
    before = module.factor.array
    module.load_state_dict({"factor": single(6.0), "count": single(7.0)}, strict=False)
    see("the buffer after loading 7", module.count).gives(tensor([7.0]))
    see("whether the factor lies where it did", bool(np.shares_memory(before, module.factor.array))).gives(
        True
    )


@load.check("missing and unexpected paths are errors that name them")
def _():
    raises(
        RuntimeError,
        Pair(Scale(), Shift()).load_state_dict,
        {"weight": single(1.0, 2.0)},
        says="first.factor",
    )
    given = {"factor": single(1.0), "colour": single(1.0)}
    raises(RuntimeError, Scale().load_state_dict, given, says="colour")


@load.check("strict=False loads what both sides have, and tells the rest")
def _():
    pair = Pair(Scale(), Shift())
    keys = pair.load_state_dict({"weight": single(8.0, 9.0), "colour": single(1.0)}, strict=False)
    see("pair.weight after loading with strict=False", pair.weight).gives(tensor([8.0, 9.0]))
    lists = None if keys is None else [sorted(keys[0]), sorted(keys[1])]
    see("what load_state_dict returned", lists).gives([["first.factor", "second.amount"], ["colour"]])


@load.check("after an error nothing was loaded")
def _():
    for wrong_one in ("weight", "second.amount"):
        pair = Pair(Scale(1.0), Shift(1.0))
        given = {"weight": single(5.0, 5.0), "first.factor": single(5.0), "second.amount": single(5.0)}
        given[wrong_one] = single(1.0, 2.0, 3.0)
        raises(RuntimeError, pair.load_state_dict, given, says=wrong_one)
        see("first.factor after the error", pair.first.factor).gives(tensor([1.0]))


@load.check("a wrong shape is an error, even where it could broadcast, and with strict=False")
def _():
    given = {"weight": single(1.0)}
    raises(RuntimeError, Pair(Scale(), Shift()).load_state_dict, given, strict=False, says="weight")
    layer = Linear(3, 2, bias=False)
    raises(RuntimeError, layer.load_state_dict, {"weight": grid(3, 2)}, says="weight")

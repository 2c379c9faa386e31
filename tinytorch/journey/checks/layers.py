"""Exercises of module 03, Layers."""

import numpy as np

from tinytorch.core import layers
from tinytorch.core.layers import Linear, Module, Parameter, Sequential
from tinytorch.core.tensor import Generator, tensor

from ..checking import Exercises, call, raises, see, swap, wrong

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
        "A Parameter goes into self.__dict__['_parameters'], a Module into '_modules', each under its "
        "name; a new "
        "value for a name that is registered goes into the registry that holds the name; all else "
        "becomes a normal "
        "attribute. A name moves when its new value belongs to another registry. Before super().__init__() a "
        "Parameter or Module is an AttributeError; None may take the place of a member, another kind "
        "is a TypeError."
    ),
    hints=(
        "`self._registry_of(name)` is the registry that has the name now, or None. isinstance tells "
        "where the value "
        "belongs.",
        "`object.__setattr__(self, name, value)` sets a normal attribute; `self._check_kind(registry, "
        "name, value)` "
        "raises the TypeError.",
        "Delete the name from where it was (the other registry, or self.__dict__), then "
        "self.__dict__[registry][name] = value.",
    ),
    mistakes=(
        wrong(
            """
            def __setattr__(self, name, value):
                object.__setattr__(self, name, value)
            """,
            "Everything becomes a normal attribute: parameters and modules have to be registered, or "
            "no walk finds "
            "them.",
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


@setattr_.check("before super().__init__() a parameter is an error")
def _():
    def assign_too_early():
        Module.__new__(Module).weight = Parameter(tensor([1.0]))

    raises(AttributeError, assign_too_early)


named_modules = exercises.add(
    "Module.named_modules",
    prompt=(
        "Yield (path, module) for this module, whose path is `prefix`, and then for every one below, "
        "in the order of "
        '_modules, members that are None left out. Paths are joined with dots: "first.0". `memo` is '
        "the set of "
        "modules seen: one that is in it is not visited again; with remove_duplicate=False nothing is "
        "put into it."
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


apply = exercises.add(
    "Module.apply",
    prompt=(
        "Call fn(module) once for every module of the tree, those inside before those around them, and "
        "return this module."
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
    ),
)


@train.check("training is turned off and on in the whole tree")
def _():
    net = Pair(Pair(Scale(), Shift()), Scale())
    net.train(False)
    see("training of all modules after train(False)", [m.training for m in net.modules()]).gives([False] * 5)
    net.train()
    see("training of all modules after train()", [m.training for m in net.modules()]).gives([True] * 5)


@train.check("this module comes back")
def _():
    net = Scale()
    see("whether net.train() is net", net.train() is net).gives(True)


linear = exercises.add(
    "linear",
    prompt=(
        "Return x W^T + b for arrays: input (..., in), weight (out, in), bias (out,) or None, result "
        "(..., out), in the "
        "input's dtype. A last dimension that is not `in` and a bias of another size are a ValueError."
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


@linear.check("shapes that do not fit are errors")
def _():
    raises(ValueError, layers.linear, tensor(grid(2, 3)), tensor(grid(2, 4)))
    raises(ValueError, layers.linear, tensor(grid(2, 3)), tensor(grid(2, 3)), tensor(grid(1)))


reset = exercises.add(
    "Linear.reset_parameters",
    prompt=(
        "Fill the weight and, if there is one, the bias with new random numbers, uniform from -1 / "
        "sqrt(in_features) to "
        "1 / sqrt(in_features). They stay the same Parameters."
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
    bias = layer.bias
    high = float(np.abs(drawn_again(layer).bias.array).max())
    see("the largest size of 50 biases for in_features = 4", high).satisfies(0.3 < high <= 0.5, "near 0.5")
    see("whether the bias is the same Parameter", layer.bias is bias).gives(True)


@reset.check("a layer without bias")
def _():
    layer = drawn_again(Linear(4, 50, bias=False))
    high = float(np.abs(layer.weight.array).max())
    see("the largest size of 200 weights for in_features = 4", high).satisfies(0.4 < high <= 0.5, "near 0.5")


dropout = exercises.add(
    "dropout",
    prompt=(
        "In training, return a new Tensor in which each number is 0 with probability p and the others "
        "are multiplied by "
        "1 / (1 - p), in the input's dtype. Draw from `generator`, or default_generator. Not in "
        "training or for p = 0 the "
        "input comes back; p = 1 gives zeros, a p outside of 0 to 1 is a ValueError."
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
    ),
)


@dropout.check("with p = 0.75, a quarter stays, four times as large")
def _():
    out = layers.dropout(tensor(np.ones(400, np.float32)), 0.75).array
    kinds = sorted(set(out.tolist()))
    see("the different numbers in dropout(ones(400), 0.75)", kinds).gives([0.0, 4.0])
    share = float((out != 0).mean())
    see("the share of numbers that stay for p = 0.75", share).satisfies(0.15 < share < 0.35, "near 0.25")


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
    see(
        "dropout(x, 0.5, generator=Generator(7)), again", layers.dropout(x, 0.5, generator=Generator(7))
    ).gives(first)


@dropout.check("p = 1 gives zeros, p = 2 is an error")
def _():
    call(layers.dropout, tensor([1.0, 2.0]), 1.0).gives(tensor([0.0, 0.0]))
    raises(ValueError, layers.dropout, tensor([1.0, 2.0]), 2)


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
    ),
)


@forward.check("two modules, the first first")
def _():
    call(Sequential(Scale(10.0), Shift(1.0)), tensor([2.0])).gives(tensor([21.0]))


@forward.check("three modules, and none")
def _():
    call(Sequential(Shift(1.0), Scale(10.0), Shift(2.0)), tensor([[2.0]])).gives(tensor([[32.0]]))
    call(Sequential(), tensor([2.0])).gives(tensor([2.0]))


load = exercises.add(
    "Module.load_state_dict",
    prompt=(
        "Copy the numbers of a state_dict, {path: Tensor or NumPy array}, into this module's own "
        "parameters and "
        "buffers, and return "
        "IncompatibleKeys(missing, unexpected), two lists of paths. With strict, missing or unexpected "
        "paths are a "
        "RuntimeError that names them; a wrong shape always is one. After an error nothing was loaded."
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
            "IncompatibleKeys(missing, unexpected)",
            "None",
            "Nothing is returned: the paths that are missing and those that are unexpected come back.",
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
    told = None if keys is None else [list(keys[0]), list(keys[1])]
    see("what load_state_dict returned", told).gives([["first.factor", "second.amount"], ["colour"]])


@load.check("after an error nothing was loaded")
def _():
    pair = Pair(Scale(1.0), Shift(1.0))
    given = {"first.factor": single(5.0), "second.amount": single(5.0), "weight": single(1.0, 2.0, 3.0)}
    raises(RuntimeError, pair.load_state_dict, given, says="weight")
    see("first.factor after the error", pair.first.factor).gives(tensor([1.0]))

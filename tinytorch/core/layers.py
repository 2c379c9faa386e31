"""03 Layers: modules, which own what is learned, and the first of them.

A network is a tree of modules. A `Module` computes something in `forward` and knows the parameters, the
buffers and the modules inside it, so that one walk over the tree finds, names, saves, loads, casts or moves
them all. The layer under everything is

    linear(x) = x W^T + b        x (..., in), W (out, in), b (out,), result (..., out)

Names, arguments, defaults and state_dict keys follow torch.nn:
https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html
"""

from collections import namedtuple
from math import prod, sqrt

import numpy as np

from ..utils.threads import product
from .tensor import Tensor, default_generator, float32, float64, mul, op, tensor, zeros


class Parameter(Tensor):
    """A Tensor that a module owns and an optimizer changes. It shares the memory of what it is made of."""

    __slots__ = ()

    def __init__(self, data, requires_grad=True):
        source = data if isinstance(data, Tensor) else tensor(data)
        self.array, self.memory, self.grad, self.node = source.array, source.memory, None, None
        self.requires_grad_(requires_grad)

    def __repr__(self):
        return f"Parameter containing:\n{super().__repr__()}"


class Module:
    """The base of all that has parameters: a subclass makes its parts in __init__ and computes in `forward`.

    Assigning registers: `self.weight = Parameter(…)` adds a parameter, `self.first = Linear(…)` a module.
    Attributes: `training`, True until eval() is called.
    """

    training = True

    def __init__(self):
        self.__dict__.update(_parameters={}, _modules={}, _buffers={}, _unsaved=set())

    def forward(self, *args, **kwargs):
        raise NotImplementedError(f"{type(self).__name__} has no forward method, so it can't be called")

    def __call__(self, *args, **kwargs):
        return self.forward(*args, **kwargs)

    # Registration.

    def __setattr__(self, name, value):
        """A Parameter, a Module, or a new value under a registered name goes into its registry."""
        held = self._registry_of(name)
        if isinstance(value, Parameter):
            registry = "_parameters"
        elif isinstance(value, Module):
            registry = "_modules"
        elif held is not None:
            registry = held
        else:
            object.__setattr__(self, name, value)
            return
        if registry not in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}: call super().__init__() before you assign '{name}', "
                f"a {type(value).__name__}"
            )
        self._check_kind(registry, name, value)
        if held not in (None, registry):
            del self.__dict__[held][name]
        self.__dict__.pop(name, None)
        self.__dict__[registry][name] = value

    def __getattr__(self, name):
        """What normal lookup did not find is in a registry, or nowhere."""
        registry = self._registry_of(name)
        if registry is None:
            hint = "" if "_modules" in self.__dict__ else "; its __init__ has not called super().__init__()"
            raise AttributeError(f"{type(self).__name__} has no attribute '{name}'{hint}")
        return self.__dict__[registry][name]

    def __delattr__(self, name):
        registry = self._registry_of(name)
        if registry is None:
            object.__delattr__(self, name)
        else:
            del self.__dict__[registry][name]

    def _registry_of(self, name):
        for registry in kinds:
            if name in self.__dict__.get(registry, ()):
                return registry
        return None

    def _check_kind(self, registry, name, value):
        if not (value is None or isinstance(value, kinds[registry])):
            raise TypeError(
                f"{type(self).__name__}: '{name}' must be a {kinds[registry].__name__} or None, "
                f"{type(value).__name__} came"
            )

    def _register(self, registry, name, value):
        self._check_kind(registry, name, value)
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"{type(self).__name__}: a member's name is a string without dots, {name!r} came")
        if hasattr(self, name) and self._registry_of(name) != registry:
            raise KeyError(f"{type(self).__name__} has another attribute named '{name}'")
        self.__dict__[registry][name] = value

    def register_parameter(self, name, param):
        """Add a parameter, or keep its name free with None."""
        self._register("_parameters", name, param)

    def register_buffer(self, name, tensor, persistent=True):
        """Add a tensor that belongs to the module and is not learned; state_dict has it if `persistent`."""
        self._register("_buffers", name, tensor)
        (self._unsaved.discard if persistent else self._unsaved.add)(name)

    def add_module(self, name, module):
        """Add a module under a name that need not be an identifier: Sequential uses "0", "1", …"""
        self._register("_modules", name, module)

    # Walking the tree. What is reachable by two paths is visited once, under the first.

    def named_modules(self, memo=None, prefix="", remove_duplicate=True):
        """(path, module) for this module, whose path is "", and for every one below it."""
        seen = set() if memo is None else memo
        if self in seen:
            return
        if remove_duplicate:
            seen.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(seen, path, remove_duplicate)

    def _named_members(self, registry, prefix, recurse, remove_duplicate):
        """(path, tensor) for one registry of this module and, with `recurse`, of every one below it."""
        seen = set()
        modules = self.named_modules(None, prefix, remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, member in getattr(module, registry).items():
                if member is not None and member not in seen:
                    if remove_duplicate:
                        seen.add(member)
                    yield f"{path}.{name}" if path else name, member

    def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
        """(path, parameter) for every parameter; one that is shared comes once."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
        """(path, tensor) for every buffer."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def named_children(self):
        """(name, module) for the modules directly below this one, each once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def parameters(self, recurse=True):
        """Every parameter, each once: what an optimizer is given."""
        return (member for _, member in self.named_parameters(recurse=recurse))

    def buffers(self, recurse=True):
        """Every buffer, each once."""
        return (member for _, member in self.named_buffers(recurse=recurse))

    def modules(self):
        """This module and every one below it, each once."""
        return (module for _, module in self.named_modules())

    def children(self):
        """The modules directly below this one, each once."""
        return (module for _, module in self.named_children())

    def get_submodule(self, target):
        """The module at a path such as "encoder.0"; "" is this module."""
        module = self
        for name in target.split(".") if target else ():
            if name not in module._modules:
                raise AttributeError(f"get_submodule '{target}': no '{name}' in {type(module).__name__}")
            module = module._modules[name]
        return module

    # What the walk is for.

    def apply(self, fn):
        """Call fn(module) for every module, the inner ones first. Returns this module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def train(self, mode=True):
        """Training mode on or off for the whole tree: Dropout asks for it. Returns this module."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self):
        """Evaluation: train(False)."""
        return self.train(False)

    def requires_grad_(self, requires_grad=True):
        """Say of every parameter whether autograd follows it: False freezes. Returns this module."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none=True):
        """Forget the gradients of every parameter; with set_to_none=False fill them with 0."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                fill(parameter.grad, 0)

    def to(self, *targets, dtype=None, device=None):
        """Cast or move every parameter and buffer in place; targets as in Tensor.to. Only floats are cast."""
        held = [*self.parameters(), *self.buffers()]
        moved = [x.detach().to(*targets, dtype=dtype, device=device) for x in held]
        if any(x.dtype.kind == "f" != new.dtype.kind for x, new in zip(held, moved, strict=True)):
            raise TypeError(f"{type(self).__name__}.to: parameters stay floats: float16, float32 or float64")
        for x, new in zip(held, moved, strict=True):
            if x.dtype.kind != "f":
                new = x.detach().to(new.device)
            x.array, x.memory = new.array, new.memory
            if x.grad is not None:
                x.grad = x.grad.to(new)
        return self

    def float(self):
        """Every floating-point parameter and buffer as float32."""
        return self.to(float32)

    def double(self):
        """Every floating-point parameter and buffer as float64."""
        return self.to(float64)

    def cuda(self):
        """Every parameter and buffer on the GPU."""
        return self.to("cuda")

    def cpu(self):
        """Every parameter and buffer on the CPU."""
        return self.to("cpu")

    def state_dict(self, prefix=""):
        """What is saved: {path: tensor}, detached, on the module's own memory; if shared, under each path."""
        return {prefix + path: x.detach() for path, x in self._saved_tensors()}

    def _saved_tensors(self):
        """Pairs (path, tensor) of everything that is saved."""
        for path, module in self.named_modules(None, "", remove_duplicate=False):
            buffers = {name: x for name, x in module._buffers.items() if name not in module._unsaved}
            for name, x in (*module._parameters.items(), *buffers.items()):
                if x is not None:
                    yield f"{path}.{name}" if path else name, x

    def load_state_dict(self, state_dict, strict=True):
        """Copy the numbers of a state_dict into this module: all of them, or, after an error, none.

        With strict=False only what has the same name on both sides is loaded. Returns (missing_keys,
        unexpected_keys). Raises RuntimeError that names every missing key, unexpected key and wrong shape.
        """
        own = dict(self._saved_tensors())
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        common = {key: state_dict[key] for key in own if key in state_dict}
        problems = [f"missing keys: {', '.join(missing)}"] if strict and missing else []
        problems += [f"unexpected keys: {', '.join(unexpected)}"] if strict and unexpected else []
        for key, value in common.items():
            if not hasattr(value, "shape"):
                problems.append(f"{key}: a tensor is needed, {type(value).__name__} came")
            elif tuple(value.shape) != own[key].shape:
                problems.append(f"{key}: shape {own[key].shape} here, {tuple(value.shape)} in the state_dict")
        if problems:
            name = type(self).__name__
            raise RuntimeError("\n  ".join([f"load_state_dict: nothing was loaded into {name}:", *problems]))
        for key, value in common.items():
            fill(own[key], value.detach().to(own[key].device).array if isinstance(value, Tensor) else value)
        return IncompatibleKeys(missing, unexpected)

    def extra_repr(self):
        """What the repr says between the parentheses: a subclass tells its settings here."""
        return ""

    def __repr__(self):
        settings = self.extra_repr()
        children = [f"({name}): {module!r}" for name, module in self._modules.items()]
        if not children:
            return f"{type(self).__name__}({settings})"
        lines = "\n".join([settings, *children] if settings else children)
        return f"{type(self).__name__}(\n  " + lines.replace("\n", "\n  ") + "\n)"


kinds = {"_parameters": Parameter, "_modules": Module, "_buffers": Tensor}
IncompatibleKeys = namedtuple("IncompatibleKeys", "missing_keys unexpected_keys")


def fill(tensor, values):
    """Write a number or an array into a tensor's memory, unseen by autograd. Returns the tensor."""
    tensor.array[...] = np.asarray(values, like=tensor.array)
    tensor.memory.writes += 1
    return tensor


def uniform_(tensor, a=0.0, b=1.0, generator=None):
    """Fill a tensor in place with random numbers, uniform from [a, b). Returns it."""
    return fill(tensor, (generator or default_generator).numpy.uniform(a, b, tensor.shape))


@op
def linear(input, weight, bias=None):
    """x W^T + b: (..., in), (out, in), (out,) -> (..., out), as one matrix product over all rows."""
    if weight.ndim != 2 or input.shape[-1:] != weight.shape[1:]:
        size = input.shape[-1] if input.ndim else "no size at all"
        raise ValueError(f"the input's last dimension is {size}, and the weight (out, in) is {weight.shape}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"the bias is {bias.shape}, and the weight has {len(weight)} outputs")
    out = product(rows_of(input), weight.T)  # (rows, in) @ (in, out)
    if bias is not None:
        out += bias
    return out if input.ndim == 2 else out.reshape(*input.shape[:-1], len(weight))


def rows_of(x):
    """(..., n) as a matrix (rows, n), without a copy where the memory allows it."""
    return x if x.ndim == 2 else x.reshape(prod(x.shape[:-1]), x.shape[-1])


class Linear(Module):
    """x W^T + b with learned W (out_features, in_features) and b (out_features,).

    Both begin uniform within ±1 / sqrt(in_features), as in PyTorch: kaiming_uniform_ with a = sqrt(5).
    """

    def __init__(self, in_features, out_features, bias=True, device=None, dtype=None):
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        settings = {"dtype": dtype or float32, "device": device}
        self.weight = Parameter(zeros(out_features, in_features, **settings))
        self.bias = Parameter(zeros(out_features, **settings)) if bias else None
        self.reset_parameters()

    def reset_parameters(self):
        """Draw the weights and the bias anew."""
        bound = 1 / sqrt(self.in_features) if self.in_features else 0
        for parameter in self.parameters():
            uniform_(parameter, -bound, bound)

    def forward(self, input):
        return linear(input, self.weight, self.bias)

    def extra_repr(self):
        has_bias = self.bias is not None
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={has_bias}"


def dropout(input, p=0.5, training=True, generator=None):
    """In training, each number is 0 with probability p and the others are multiplied by 1 / (1 - p).

    Srivastava et al. 2014, https://jmlr.org/papers/v15/srivastava14a.html
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout: p is a probability, between 0 and 1, {p} came")
    if not training or p == 0:
        return input
    kept = (generator or default_generator).numpy.random(input.shape, float32) >= p
    mask = np.multiply(kept, 1 / (1 - p) if p < 1 else 0, dtype=input.dtype)
    return mul(input, np.asarray(mask, like=input.array))


class Dropout(Module):
    """`dropout` in training mode, nothing in evaluation mode. `inplace` is taken, but the result is new."""

    def __init__(self, p=0.5, inplace=False):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout: p is a probability, between 0 and 1, {p} came")
        self.p, self.inplace = p, inplace

    def forward(self, input):
        return dropout(input, self.p, self.training)

    def extra_repr(self):
        return f"p={self.p}, inplace={self.inplace}"


class Flatten(Module):
    """Merge the dimensions from start_dim to end_dim: (N, C, H, W) -> (N, C*H*W)."""

    def __init__(self, start_dim=1, end_dim=-1):
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input):
        return input.flatten(self.start_dim, self.end_dim)

    def extra_repr(self):
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Identity(Module):
    """The input, unchanged. It ignores its constructor's arguments, so it can take any module's place."""

    def __init__(self, *args, **kwargs):
        super().__init__()

    def forward(self, input):
        return input


class ModuleList(Module):
    """Modules in a row for a forward of your own: what a plain Python list would hide from the walk."""

    def __init__(self, modules=()):
        super().__init__()
        self.extend(modules)

    def append(self, module):
        """Add a module at the end. Returns this container."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules):
        """Add modules at the end. Returns this container."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index, module):
        """Add a module before position `index`; those after it are renumbered. Returns this container."""
        members = list(self)
        members.insert(index, module)
        self._modules.clear()
        return self.extend(members)

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules.values())

    def __getitem__(self, index):
        """A module by its position, or a ModuleList by a slice."""
        if isinstance(index, slice):
            return ModuleList(list(self)[index])
        return self._modules[self._name_at(index)]

    def __setitem__(self, index, module):
        self.add_module(self._name_at(index), module)

    def __delitem__(self, index):
        members = list(self)
        del members[index]
        self._modules.clear()
        self.extend(members)

    def _name_at(self, index):
        if not -len(self) <= index < len(self):
            raise IndexError(f"{type(self).__name__} has {len(self)} modules; there is none at {index}")
        return list(self._modules)[index]


class Sequential(ModuleList):
    """Modules run one after another, given as arguments or as one dict of names and modules."""

    def __init__(self, *modules):
        Module.__init__(self)
        if len(modules) == 1 and isinstance(modules[0], dict):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            self.extend(modules)

    def __getitem__(self, index):
        """A module by its position, or by a slice a Sequential of the same modules under the same names."""
        if isinstance(index, slice):
            return Sequential(dict(list(self._modules.items())[index]))
        return self._modules[self._name_at(index)]

    def forward(self, input):
        for module in self._modules.values():
            input = module(input)
        return input


class ModuleDict(Module):
    """Modules by name for a forward of your own: heads["digit"](x)."""

    def __init__(self, modules=()):
        super().__init__()
        self.update(modules)

    def update(self, modules):
        """Add modules from a dict or from (name, module) pairs."""
        for name, module in dict(modules).items():
            self[name] = module

    def __getitem__(self, name):
        return self._modules[name]

    def __setitem__(self, name, module):
        self.add_module(name, module)

    def __delitem__(self, name):
        del self._modules[name]

    def __len__(self):
        return len(self._modules)

    def __iter__(self):
        return iter(self._modules)

    def __contains__(self, name):
        return name in self._modules

    def keys(self):
        return self._modules.keys()

    def values(self):
        return self._modules.values()

    def items(self):
        return self._modules.items()

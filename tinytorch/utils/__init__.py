"""Names in PyTorch's shape: `tinytorch.utils.data`, imported at its first use."""

from importlib import import_module


def __getattr__(name):
    if name == "data":
        return import_module(".data", __name__)
    raise AttributeError(f"tinytorch.utils has no '{name}'")

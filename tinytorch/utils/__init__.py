"""Names in PyTorch's shape: `tinytorch.utils.data`."""

# ruff: noqa: F401 (this file is a list of names for others to import)

from . import data

"""Names in PyTorch's shape: `tinytorch.utils.data`."""

from . import data

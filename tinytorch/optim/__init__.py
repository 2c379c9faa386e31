"""Names in PyTorch's shape: the optimizers (core module 06) and `tinytorch.optim.lr_scheduler` (07)."""

from ..core.optimizers import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from . import lr_scheduler

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "Optimizer", "RMSprop", "lr_scheduler"]

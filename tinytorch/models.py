"""Whole networks by name: `tinytorch.models`."""

from .core.transformers import GPT, GPTConfig, generate

__all__ = ["GPT", "GPTConfig", "generate"]

"""TinyTorch: a deep-learning framework on NumPy, built by its readers."""

from . import ops

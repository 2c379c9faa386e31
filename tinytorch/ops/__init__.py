"""Breadth that PyTorch programs need and nobody should have to build.

Each file holds Ops with their derivatives beside them, or functions composed of other Ops. `METHODS`
and `PROPERTIES` are the one table by which Tensor gets them; core/ never imports this package.
"""

from ..core.tensor import Tensor
from . import creation, elementwise, placement, reductions, shapes
from .elementwise import abs, clamp, maximum, minimum
from .placement import clone, to
from .reductions import amin, argmin, gather, max, min, std
from .shapes import flatten, squeeze, stack, unsqueeze

METHODS = {
    "abs": abs, "__abs__": abs, "clamp": clamp, "maximum": maximum, "minimum": minimum,
    "flatten": flatten, "squeeze": squeeze, "unsqueeze": unsqueeze,
    "amin": amin, "argmin": argmin, "gather": gather, "max": max, "min": min, "std": std,
    "clone": clone, "to": to,
    "half": placement.half, "float": placement.float_, "double": placement.double,
    "int": placement.int_, "long": placement.long, "bool": placement.bool_of,
}

for name, function in METHODS.items():
    setattr(Tensor, name, function)

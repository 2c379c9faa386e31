"""Breadth that PyTorch programs need and nobody should have to build.

Each file holds Ops with their derivatives beside them, or functions composed of other Ops. `METHODS`
and `PROPERTIES` are the tables by which Tensor gets them; core/ never imports this package.
"""

from ..core import activations, tensor
from ..core.autograd import retain_grad
from ..core.tensor import Tensor
from . import creation, elementwise, inplace, linear, members, placement, reductions, selection, shapes


def named(module, names):
    """The functions of a module under their own names."""
    return {name: getattr(module, name) for name in names.split()}


METHODS = {
    # elementwise
    **named(
        elementwise,
        "abs sin cos tan asin acos atan sinh cosh atan2 "
        "expm1 log1p log2 log10 square rsqrt reciprocal sign floor ceil trunc round "
        "isnan isinf isfinite isclose allclose equal maximum minimum fmod remainder floor_divide clamp "
        "logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor bitwise_not "
        "add sub addcmul addcdiv lerp",
    ),
    "div": elementwise.divide,
    "divide": elementwise.divide,
    "clip": elementwise.clamp,
    "__abs__": elementwise.abs,
    "__floordiv__": elementwise.floor_divide,
    "__rfloordiv__": lambda a, other: elementwise.floor_divide(other, a),
    "__mod__": elementwise.remainder,
    "__rmod__": lambda a, other: elementwise.remainder(other, a),
    "__and__": elementwise.bitwise_and,
    "__rand__": elementwise.bitwise_and,
    "__or__": elementwise.bitwise_or,
    "__ror__": elementwise.bitwise_or,
    "__xor__": elementwise.bitwise_xor,
    "__rxor__": elementwise.bitwise_xor,
    "__invert__": elementwise.bitwise_not,
    # activations
    **named(activations, "relu sigmoid tanh softmax log_softmax"),
    # products
    **named(linear, "mm mv dot bmm outer addmm baddbmm"),
    # shapes
    **named(
        shapes,
        "ravel diff trace "
        "flatten unflatten squeeze unsqueeze select narrow unbind split chunk movedim t expand_as view_as "
        "repeat tile repeat_interleave broadcast_to flip roll tril triu diagonal diag",
    ),
    "reshape_as": shapes.view_as,
    "swapaxes": tensor.transpose,
    # reductions
    **named(reductions, "amin argmin any all var std prod cumsum cumprod logsumexp norm max min"),
    # selection and order
    **named(
        selection,
        "gather scatter scatter_add index_select index_add index_fill masked_fill masked_select nonzero "
        "argsort sort topk unique",
    ),
    "where": selection.where_method,
    "__contains__": selection.contains,
    # of the same kind
    **named(creation, "new_zeros new_ones new_empty new_full new_tensor"),
    # random numbers
    "bernoulli": creation.bernoulli,
    "multinomial": creation.multinomial,
    # place and kind
    **named(placement, "clone to half double long type_as cpu cuda contiguous"),
    "float": placement.float_,
    "int": placement.int_,
    "bool": placement.bool_of,
    # what a tensor says about itself
    **named(members, "size numel dim element_size is_contiguous is_floating_point tolist"),
    "nelement": members.numel,
    "ndimension": members.dim,
    "retain_grad": retain_grad,
    "__array__": members.as_array,
    "__index__": members.index,
    "__format__": members.formatted,
    "__deepcopy__": members.deepcopied,
    # in place
    **inplace.METHODS,
}

PROPERTIES = {
    "mT": property(shapes.mT),
    "is_leaf": property(members.is_leaf),
    "grad_fn": property(members.grad_fn),
    "device": property(members.device),
    "is_cuda": property(members.is_cuda),
    "nbytes": property(members.nbytes),
    "itemsize": property(members.element_size),
    "data": property(members.data, members.set_data),
}

for name, member in {**METHODS, **PROPERTIES}.items():
    setattr(Tensor, name, member)

"""TinyTorch: a deep-learning framework on NumPy, built by its readers.

Names, argument order and defaults are those of PyTorch 2 (`import tinytorch as torch`); no logic lives
here. Submodules are imported at their first use: tinytorch.nn, .optim, .utils, .autograd, .cuda,
.datasets, .models.
"""

# ruff: noqa: F401 (this file is a list of names for others to import)

from importlib import import_module
from math import e, inf, nan, pi

from numpy import finfo, iinfo

from . import ops
from .core.activations import log_softmax, relu, sigmoid, softmax, tanh
from .core.autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .core.autograd import no_grad as inference_mode
from .core.tensor import (
    Generator,
    Tensor,
    amax,
    argmax,
    bool_,
    cat,
    default_generator,
    eq,
    exp,
    expand,
    float16,
    float32,
    float64,
    ge,
    gt,
    int8,
    int16,
    int32,
    int64,
    le,
    log,
    lt,
    manual_seed,
    matmul,
    mean,
    mul,
    ne,
    neg,
    ones,
    permute,
    pow,
    rand,
    randn,
    reshape,
    sqrt,
    sum,
    tensor,
    transpose,
    uint8,
    zeros,
)
from .ops.creation import (
    arange,
    as_tensor,
    bernoulli,
    empty,
    empty_like,
    eye,
    from_numpy,
    full,
    full_like,
    linspace,
    multinomial,
    normal,
    ones_like,
    rand_like,
    randint,
    randn_like,
    randperm,
    zeros_like,
)
from .ops.elementwise import (
    abs,
    acos,
    add,
    addcdiv,
    addcmul,
    allclose,
    asin,
    atan,
    atan2,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    ceil,
    clamp,
    cos,
    cosh,
    equal,
    expm1,
    floor,
    floor_divide,
    fmod,
    isclose,
    isfinite,
    isinf,
    isnan,
    lerp,
    log1p,
    log2,
    log10,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    reciprocal,
    remainder,
    round,
    rsqrt,
    sign,
    sin,
    sinh,
    square,
    sub,
    tan,
    trunc,
)
from .ops.elementwise import divide as div
from .ops.linear import addmm, baddbmm, bmm, dot, einsum, mm, mv, outer
from .ops.members import is_floating_point, is_tensor, numel
from .ops.placement import clone, device
from .ops.reductions import (
    all,
    amin,
    any,
    argmin,
    cumprod,
    cumsum,
    logsumexp,
    max,
    min,
    norm,
    prod,
    std,
    var,
)
from .ops.selection import (
    argsort,
    gather,
    index_add,
    index_fill,
    index_select,
    masked_fill,
    masked_select,
    nonzero,
    scatter,
    scatter_add,
    sort,
    topk,
    unique,
)
from .ops.selection import where_of as where
from .ops.shapes import (
    broadcast_to,
    chunk,
    diag,
    diagonal,
    diff,
    flatten,
    flip,
    hstack,
    meshgrid,
    movedim,
    narrow,
    ravel,
    repeat_interleave,
    roll,
    select,
    split,
    squeeze,
    stack,
    t,
    tile,
    trace,
    tril,
    triu,
    unbind,
    unflatten,
    unsqueeze,
    view_as,
    vstack,
)

# PyTorch's other names for the dtypes, and for functions.
half, float, double = float16, float32, float64
short, int, long, bool = int16, int32, int64, bool_
clip, divide, concat, concatenate, swapaxes = clamp, div, cat, cat, transpose

SUBMODULES = ("autograd", "cuda", "datasets", "models", "nn", "optim", "utils")
LATER = {
    "save": "safetensors", "load": "safetensors", "set_num_threads": "threads", "get_num_threads": "threads",
}  # fmt: skip


def __getattr__(name):
    """Import a submodule at its first use, and what tinytorch.utils has under PyTorch's names."""
    if name in SUBMODULES:
        return import_module(f".{name}", __name__)
    if name in LATER:
        return getattr(import_module(f".utils.{LATER[name]}", __name__), name)
    if name == "__version__":
        return import_module("importlib.metadata").version(__name__)
    raise AttributeError(f"tinytorch has no '{name}'; the reference lists what PyTorch has and this has not")


def __dir__():
    return sorted([*globals(), *SUBMODULES, *LATER])

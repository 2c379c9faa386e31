"""Other ways to see, repeat and join the same numbers: most are made of module 01's shape Ops."""

from typing import Any

import numpy as np

from ..core.autograd import derivative
from ..core.tensor import as_size, cat, expand, getitem, op, permute, reshape
from .placement import clone


def position(dim, ndim, name):
    """`dim` counted from the front, or an error that names the function."""
    if not -ndim <= dim < ndim:
        raise IndexError(f"{name}: dim {dim} is out of range for {ndim} dimensions")
    return dim % ndim


def flatten(a, start_dim=0, end_dim=-1):
    """Merge the dimensions from `start_dim` to `end_dim`, both included, into one."""
    start, end = (position(d, max(a.ndim, 1), "flatten") for d in (start_dim, end_dim))
    if start > end:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    size = a.shape[start : end + 1]
    return reshape(a, (*a.shape[:start], int(np.prod(size)), *a.shape[end + 1 :]))


def ravel(a):
    """All numbers in one row."""
    return reshape(a, (-1,))


def unflatten(a, dim, sizes):
    """Split one dimension into several of the given sizes; one may be -1."""
    dim, sizes = position(dim, a.ndim, "unflatten"), as_size((sizes,))
    known = -int(np.prod(sizes))  # the product of the others, where one size is -1
    sizes = tuple(a.shape[dim] // known if size == -1 and known else size for size in sizes)
    return reshape(a, (*a.shape[:dim], *sizes, *a.shape[dim + 1 :]))


def squeeze(a, dim=None):
    """Drop the dimensions of size 1: all of them, or only those named."""
    dims = range(a.ndim) if dim is None else dim if isinstance(dim, (tuple, list)) else (dim,)
    named = {position(d, max(a.ndim, 1), "squeeze") for d in dims}
    return reshape(a, tuple(size for i, size in enumerate(a.shape) if size != 1 or i not in named))


def unsqueeze(a, dim):
    """Insert a dimension of size 1 before position `dim`."""
    dim = position(dim, a.ndim + 1, "unsqueeze")
    return reshape(a, (*a.shape[:dim], 1, *a.shape[dim:]))


def stack(tensors, dim=0):
    """Join tensors of one shape along a new dimension."""
    shapes = {tensor.shape for tensor in tensors}
    if len(shapes) > 1:
        raise ValueError(f"stack: the tensors need one shape, these have {sorted(shapes)}")
    return cat([unsqueeze(tensor, dim) for tensor in tensors], dim)


def select(a, dim, index):
    """The slice at position `index` of one dimension, which disappears (a view)."""
    return getitem(a, (slice(None),) * position(dim, a.ndim, "select") + (index,))


def narrow(a, dim, start, length):
    """`length` positions of one dimension from `start` on (a view)."""
    dim = position(dim, a.ndim, "narrow")
    start = start + a.shape[dim] if start < 0 else start
    if not 0 <= start <= start + length <= a.shape[dim]:
        raise IndexError(f"narrow: {start} to {start + length} is outside of size {a.shape[dim]}")
    return getitem(a, (slice(None),) * dim + (slice(start, start + length),))


def unbind(a, dim=0):
    """A tuple of all slices along one dimension (views)."""
    dim = position(dim, a.ndim, "unbind")
    return tuple(select(a, dim, i) for i in range(a.shape[dim]))


def split(a, split_size, dim=0):
    """Cut one dimension into pieces of `split_size` (the last may be shorter), or of the sizes in a list."""
    size = a.shape[position(dim, a.ndim, "split")]
    if isinstance(split_size, int):
        if split_size < 1:
            raise ValueError(f"split: split_size must be positive, {split_size} came")
        sizes = [min(split_size, size - start) for start in range(0, size, split_size)] or [0]
    else:
        sizes = list(split_size)
        if sum(sizes) != size:
            raise ValueError(f"split: the sizes {sizes} add up to {sum(sizes)}, dimension {dim} has {size}")
    starts = np.cumsum([0, *sizes]).tolist()
    return tuple(narrow(a, dim, start, length) for start, length in zip(starts, sizes, strict=False))


def chunk(a, chunks, dim=0):
    """Cut one dimension into at most `chunks` pieces of equal size; the last may be shorter."""
    if chunks < 1:
        raise ValueError(f"chunk: chunks must be positive, {chunks} came")
    size = a.shape[position(dim, a.ndim, "chunk")]
    return split(a, -(-size // chunks) if size else [0] * chunks, dim)


def diff(a, n=1, dim=-1):
    """The differences between neighbours along `dim`, taken `n` times."""
    for _ in range(n):
        steps = a.shape[position(dim, a.ndim, "diff")] - 1
        a = narrow(a, dim, 1, steps) - narrow(a, dim, 0, steps) if steps > 0 else narrow(a, dim, 0, 0)
    return a


def meshgrid(*tensors, indexing="ij"):
    """For each vector its values on the grid of all of them: (n,) and (m,) give two tensors (n, m).

    indexing: "ij" numbers rows by the first vector, "xy" by the second: (m, n).
    """
    if indexing not in ("ij", "xy"):
        raise ValueError(f"meshgrid: indexing is 'ij' or 'xy', {indexing!r} came")
    vectors = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (tuple, list)) else tensors
    vectors = [reshape(v, (1,)) if v.ndim == 0 else v for v in vectors]
    if any(v.ndim != 1 for v in vectors):
        raise ValueError(f"meshgrid: vectors are needed, {[v.shape for v in vectors]} came")
    order = list(range(len(vectors)))
    if indexing == "xy" and len(vectors) > 1:
        order[:2] = 1, 0
    sizes = tuple(len(vectors[i]) for i in order)
    across = [tuple(-1 if i == place else 1 for i in order) for place in range(len(vectors))]
    return tuple(expand(reshape(v, shape), sizes) for v, shape in zip(vectors, across, strict=True))


def vstack(tensors):
    """Tensors below one another: cat along dimension 0, vectors as rows."""
    return cat([reshape(x, (1, -1)) if x.ndim < 2 else x for x in tensors])


def hstack(tensors):
    """Tensors side by side: cat along dimension 1, of vectors along their only one."""
    tensors = [reshape(x, (1,)) if x.ndim == 0 else x for x in tensors]
    return cat(tensors, 0 if tensors[0].ndim == 1 else 1)


def trace(a):
    """The sum of the diagonal of a matrix."""
    if a.ndim != 2:
        raise ValueError(f"trace: a matrix is needed, the shape is {a.shape}")
    return diagonal(a).sum()


def movedim(a, source, destination):
    """Move dimensions to other positions; the others keep their order."""
    moved = [s if isinstance(s, (tuple, list)) else (s,) for s in (source, destination)]
    source, destination = ([position(d, a.ndim, "movedim") for d in dims] for dims in moved)
    order = [d for d in range(a.ndim) if d not in source]
    for to, dim in sorted(zip(destination, source, strict=True)):
        order.insert(to, dim)
    return permute(a, tuple(order))


def mT(a):  # noqa: N802 (PyTorch's name)
    """The matrix transpose: the last two dimensions swapped."""
    if a.ndim < 2:
        raise ValueError(f"mT: at least two dimensions are needed, the shape is {a.shape}")
    return permute(a, (*range(a.ndim - 2), a.ndim - 1, a.ndim - 2))


def t(a):
    """The transpose of a matrix; a vector stays as it is."""
    if a.ndim > 2:
        raise ValueError(f"t: at most two dimensions, the shape is {a.shape}; use transpose, permute or mT")
    return permute(a, tuple(range(a.ndim))[::-1])


def expand_as(a, other):
    """A view of a in the shape of `other`."""
    return expand(a, other.shape)


def view_as(a, other):
    """The same numbers in the shape of `other`."""
    return reshape(a, other.shape)


def repeat(a, *sizes):
    """Copies of the whole tensor, `sizes[i]` times along dimension i: repeat(2, 3) or repeat((2, 3))."""
    sizes = as_size(sizes)
    if len(sizes) < a.ndim:
        raise ValueError(f"repeat: {len(sizes)} numbers for {a.ndim} dimensions")
    shape = (1,) * (len(sizes) - a.ndim) + a.shape
    spaced = [size for s in shape for size in (1, s)]  # (1, s0, 1, s1, …)
    copies = [size for pair in zip(sizes, shape, strict=True) for size in pair]  # (r0, s0, r1, s1, …)
    merged = tuple(r * s for r, s in zip(sizes, shape, strict=True))
    return own(reshape(expand(reshape(a, tuple(spaced)), tuple(copies)), merged), a)


def own(result, a):
    """The result on memory of its own, where NumPy could give a view of a."""
    return clone(result) if result.memory is a.memory else result


def tile(a, *dims):
    """`repeat` in which missing leading numbers are 1."""
    dims = as_size(dims)
    return repeat(a, (1,) * (a.ndim - len(dims)) + dims)


def repeat_interleave(a, repeats, dim=None):
    """Each element `repeats` times (an int) in a row along `dim`; of the flattened tensor when None."""
    a, dim = (flatten(a), 0) if dim is None else (a, position(dim, a.ndim, "repeat_interleave"))
    after = unsqueeze(a, dim + 1)
    repeated = flatten(expand(after, (*a.shape[: dim + 1], repeats, *a.shape[dim + 1 :])), dim, dim + 1)
    return own(repeated, a)


def broadcast_to(a, size):
    """A view in a larger shape."""
    return expand(a, as_size((size,)))


@op
def reverse(a, dims):
    """A copy in which the named dimensions (a tuple) run backwards."""
    return np.flip(a, dims).copy()


def flip(a, *dims):
    """A copy in which the named dimensions run backwards: flip(0, 1) or flip((0, 1))."""
    return reverse(a, as_size(dims))


@op
def roll(a, shifts, dims=None):
    """Move the elements along `dims`, what leaves at the end comes in at the start; flattened when None."""
    return np.roll(a, shifts, dims)


@op
def tril(a, diagonal=0):
    """The lower triangle of each matrix; above diagonal number `diagonal` all is 0."""
    return np.tril(a, diagonal)


@op
def triu(a, diagonal=0):
    """The upper triangle of each matrix; below diagonal number `diagonal` all is 0."""
    return np.triu(a, diagonal)


@op
def diagonal(a, offset=0, dim1=0, dim2=1):
    """The diagonal of the plane of two dimensions, as a new last dimension."""
    return np.diagonal(a, offset, dim1, dim2).copy()


@op
def diag(a, diagonal=0):
    """A vector as the diagonal of a square matrix, or the diagonal of a matrix as a vector."""
    if a.ndim not in (1, 2):
        raise ValueError(f"a vector or a matrix is needed, not {a.ndim} dimensions")
    return np.diag(a, diagonal).copy()


# PyTorch's names for what is put around, and NumPy's.
BORDERS: dict[str, Any] = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def pad(a, pad, mode="constant", value=0):
    """Add numbers around: pad = (left, right) of the last dimension, then of the one before, and so on.

    mode: "constant" adds `value`, "reflect" mirrors all but the border, "replicate" repeats the border,
    "circular" goes on from the other side. With "constant" a negative number cuts off instead.
    """
    if mode == "constant":
        return constant_pad(a, pad, value)
    if mode not in BORDERS:
        raise ValueError(f"pad: mode is 'constant', {str(list(BORDERS))[1:-1]}; {mode!r} came")
    added, _ = padding(a.shape, pad)
    for dim, (before, after) in enumerate(added):
        if before or after or min(pad) < 0:
            size, most = a.shape[dim], max(before, after)
            largest = {"reflect": size - 1, "circular": size}.get(mode, most if size else 0)
            if min(pad) < 0 or most > largest:
                raise ValueError(f"pad: {tuple(pad)} does not go with mode {mode!r} and shape {a.shape}")
            places = np.pad(np.arange(size, like=a.array), (before, after), BORDERS[mode])
            a = getitem(a, (slice(None),) * dim + (places,))
    return a


@op
def constant_pad(a, pad, value=0):
    """Add `value` around, or cut off where a number is negative."""
    added, cut = padding(a.shape, pad)
    return np.pad(a[cut], added, constant_values=0 if value is None else value)


def padding(shape, pad):
    """What to add in NumPy's order, one pair a dimension, and the slices that negative numbers cut out."""
    if len(pad) % 2 or len(pad) > 2 * len(shape):
        raise ValueError(f"{len(pad)} numbers do not give pairs for at most {len(shape)} dimensions")
    pairs = [(0, 0)] * (len(shape) - len(pad) // 2) + list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    added = [(max(before, 0), max(after, 0)) for before, after in pairs]
    ends = [(max(-before, 0), n + min(after, 0)) for (before, after), n in zip(pairs, shape, strict=True)]
    if any(start > end for start, end in ends):
        raise ValueError(f"{tuple(pad)} cuts more than there is of {shape}")
    return added, tuple(slice(start, end) for start, end in ends)


def unpad(g, a_shape, pad):
    """The gradient of pad: cut where something was added, zeros where something was cut."""
    added, cut = padding(a_shape, pad)
    d = np.zeros_like(g, shape=a_shape)
    d[cut] = g[tuple(slice(before, n - after) for (before, after), n in zip(added, g.shape, strict=True))]
    return d


def undiagonal(g, a_shape, offset, dim1, dim2):
    d = np.zeros_like(g, shape=a_shape)
    plane = np.moveaxis(d, (dim1, dim2), (-2, -1))
    rows = np.arange(g.shape[-1], like=g)
    plane[..., rows - min(offset, 0), rows + max(offset, 0)] = g
    return d


derivative(reverse, lambda g, dims: np.flip(g, dims))
derivative(roll, lambda g, shifts, dims: np.roll(g, np.negative(shifts).tolist(), dims))
derivative(tril, lambda g, diagonal: np.tril(g, diagonal))
derivative(triu, lambda g, diagonal: np.triu(g, diagonal))
derivative(diagonal, undiagonal)
derivative(
    diag,
    lambda g, a_shape, diagonal: (
        np.diagonal(g, diagonal) if len(a_shape) == 1 else undiagonal(g, a_shape, diagonal, 0, 1)
    ),
)
derivative(constant_pad, unpad)

"""Vectors for and from classes: one_hot, normalize and cosine_similarity, as in torch.nn.functional."""

import numpy as np

from ..core.tensor import op
from ..ops.elementwise import clamp
from ..ops.reductions import norm


@op
def one_hot(tensor, num_classes=-1):
    """Classes (…) as int64 rows (…, num_classes) with a 1 at the class; -1 takes the largest class + 1."""
    if tensor.dtype.kind not in "iu":
        raise ValueError(f"classes are integers, {tensor.dtype} came")
    if num_classes == -1:
        if not tensor.size:
            raise ValueError("there is no class in an empty tensor to count from; give num_classes")
        num_classes = int(tensor.max()) + 1
    if tensor.size and not 0 <= int(tensor.min()) <= int(tensor.max()) < num_classes:
        held = f"{int(tensor.min())} to {int(tensor.max())}"
        raise ValueError(f"classes are 0 to {num_classes - 1}, and the tensor holds {held}")
    return (tensor[..., None] == np.arange(num_classes, like=tensor)).astype(np.int64)


def normalize(input, p=2.0, dim=1, eps=1e-12):
    """Each vector along `dim` divided by its p-norm, which counts as at least `eps`."""
    return input / clamp(norm(input, p, dim, True), min=eps)


def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    """The cosine of the angle of vectors along `dim`, x1 . x2 / (|x1| |x2|); norms are at least `eps`."""
    lengths = (clamp(norm(x, 2.0, dim), min=eps) for x in (x1, x2))
    return (x1 * x2).sum(dim) / (next(lengths) * next(lengths))

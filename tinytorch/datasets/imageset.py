"""What the image loaders return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class ImageSet(NamedTuple):
    """Images and their labels: `images, labels = load_mnist("train")`.

    images: uint8, one image a row, as stored: (N, height, width) for grey, (N, 3, height, width) for colour.
    labels: int64, (N,), classes counted from 0.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def check_split(loader: str, split: str, splits: Sequence[str]) -> None:
    """Raise ValueError unless split is one of the splits of this loader."""
    if split not in splits:
        names = ", ".join(repr(name) for name in splits)
        raise ValueError(f"{loader}: split is {split!r}, but it has to be one of {names}")

"""MNIST: 70,000 handwritten digits, 28x28 grey, in four gzip-compressed IDX files."""

from __future__ import annotations

import math
import zlib
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinytorch.datasets.downloads import DatasetError, Resource, cache_dir, fetch
from tinytorch.datasets.imageset import ImageSet, check_split

SOURCES = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

# Images, then labels.
FILES = {
    "train": (
        Resource(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            SOURCES,
        ),
        Resource(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            SOURCES,
        ),
    ),
    "test": (
        Resource(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            SOURCES,
        ),
        Resource(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            SOURCES,
        ),
    ),
}


def load_mnist(
    split: str = "train", data_dir: str | PathLike[str] | None = None, download: bool = True
) -> ImageSet:
    """Handwritten digits, 28x28 grey: 60,000 to train on, 10,000 to test.

    split: "train" or "test".
    data_dir: a folder that holds the IDX files (as published, or unpacked, without .gz); it is only read,
    never written. None uses the cache (see cache_dir).
    download: whether a file that the cache lacks may be fetched (about 12 MB for both splits).
    Returns images uint8 (N, 28, 28) with values from 0 (paper) to 255 (ink), labels int64 (N,).
    For a network: `images / np.float32(255)` lies in [0, 1].
    Raises DownloadError when the files cannot be fetched or stored, DatasetError when they are missing or
    malformed.

    Source: LeCun, Cortes and Burges, The MNIST database of handwritten digits, 1998.
    """
    check_split("load_mnist", split, tuple(FILES))
    if data_dir is None:
        folder = cache_dir() / "mnist"
        paths = [fetch(resource, folder, download=download) for resource in FILES[split]]
    else:
        paths = [_given(Path(data_dir), resource.name) for resource in FILES[split]]
    images, labels = (read_idx(path) for path in paths)
    if images.shape[1:] != (28, 28):
        raise DatasetError(f"{paths[0]} has the shape {images.shape}, but images are (N, 28, 28).")
    if labels.shape != images.shape[:1]:
        raise DatasetError(f"{paths[1]} has the shape {labels.shape} beside {len(images)} images.")
    if labels.size and labels.max() > 9:
        raise DatasetError(f"{paths[1]} has the label {labels.max()}, but labels are 0 to 9.")
    return ImageSet(images, labels.astype(np.int64))


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The uint8 array in an IDX file, unpacked on the fly when its name ends in .gz.

    The format: two zero bytes, a type code (8 for uint8), the number of dimensions, each size as a
    big-endian 32-bit integer, then the values in C order. Raises DatasetError unless the file is just that.
    """
    try:
        data = _unpacked(path)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path} cannot be read: {error}. Remove it and load the data again.") from error
    if len(data) < 4 or data[:3] != b"\x00\x00\x08":
        raise DatasetError(
            f"{path} starts with {data[:4].hex(' ') or 'nothing'}, not with 00 00 08: no IDX file of bytes."
        )
    start = 4 + 4 * data[3]  # the sizes end and the values begin
    if len(data) < start:
        raise DatasetError(f"{path} ends within its header of {start} bytes.")
    shape = tuple(int(size) for size in np.frombuffer(data[4:start], dtype=">u4"))
    if len(data) - start != math.prod(shape):
        raise DatasetError(
            f"{path} says shape {shape}, so {math.prod(shape):,} bytes, but {len(data) - start:,} follow."
        )
    # Copied, because an array over bytes is read-only.
    return np.frombuffer(data, dtype=np.uint8, offset=start).reshape(shape).copy()


def _unpacked(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    import gzip

    with gzip.open(path, "rb") as file:
        return file.read()


def _given(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / name.removesuffix(".gz")):
        if path.is_file():
            return path
    raise DatasetError(
        f"no {name} in {folder}, packed or unpacked. Leave out data_dir to download MNIST into the cache."
    )

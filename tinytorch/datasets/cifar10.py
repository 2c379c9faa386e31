"""CIFAR-10: 60,000 colour photographs, 32x32, in the binary version (six files of records)."""

from __future__ import annotations

import os
import shutil
import sys
import zlib
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from tinytorch.datasets.downloads import (
    DatasetError,
    DownloadError,
    Resource,
    cache_dir,
    fetch,
    locked,
    storage_error,
    tell,
)
from tinytorch.datasets.imageset import ImageSet, check_split

ARCHIVE = Resource(
    "cifar-10-binary.tar.gz",
    170_052_171,
    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ("https://www.cs.toronto.edu/~kriz/",),
)
FOLDER = "cifar-10-batches-bin"
FILES = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
RECORDS = 10_000  # in each published file
RECORD_BYTES = 1 + 3 * 32 * 32  # the label, then the red, green and blue planes

CIFAR10_CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def load_cifar10(
    split: str = "train", data_dir: str | PathLike[str] | None = None, download: bool = True
) -> ImageSet:
    """Colour photographs of ten classes, 32x32: 50,000 to train on, 10,000 to test.

    split: "train" or "test".
    data_dir: a folder that holds the unpacked cifar-10-batches-bin/; it is only read, never written, and its
    files may have any number of records. None uses the cache (see cache_dir).
    download: whether the archive may be fetched (170 MB; 184 MB unpacked) when the cache lacks the set.
    Returns images uint8 (N, 3, 32, 32), red, green and blue planes from 0 to 255, labels int64 (N,) that
    count CIFAR10_CLASSES. For a network: `images / np.float32(255)` lies in [0, 1].
    Raises DownloadError when the archive cannot be fetched or stored, DatasetError when files are missing
    or malformed.

    Source: Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009,
    https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    check_split("load_cifar10", split, tuple(FILES))
    if data_dir is None:
        return cached(ARCHIVE, cache_dir() / "cifar10", FILES[split], RECORDS, download)
    try:
        return read_batches(Path(data_dir) / FOLDER, FILES[split])
    except DatasetError as fault:
        raise DatasetError(f"{fault} Leave out data_dir to download CIFAR-10 into the cache.") from fault


def cached(archive: Resource, cache: Path, files: Sequence[str], records: int, download: bool) -> ImageSet:
    """The files from cache/cifar-10-batches-bin/, which is fetched and unpacked when missing or damaged.

    archive: the .tar.gz to fetch; records: how many each file in it has.
    """
    folder = cache / FOLDER
    try:
        return read_batches(folder, files, records)
    except DatasetError as fault:
        if not download:
            raise DatasetError(f"{fault} Load it with download=True to fetch it.") from fault
        if sys.platform == "emscripten":
            raise DownloadError(
                "CIFAR-10 cannot be downloaded in the browser. Install tinytorch and run this natively; "
                "load_tinydigits and load_tinytalks work here."
            ) from fault
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with locked(cache, FOLDER):
            try:
                return read_batches(folder, files, records)  # another process may have made it meanwhile
            except DatasetError as fault:
                if folder.exists():
                    tell(f"{fault} Removing {folder} and fetching it again.")
                    shutil.rmtree(folder)
            packed = fetch(archive, cache)
            unpack(packed, folder, records * RECORD_BYTES)
            packed.unlink()
    except OSError as error:
        raise storage_error(error, folder, 6 * records * RECORD_BYTES) from error
    return read_batches(folder, files, records)


def unpack(archive: Path, folder: Path, size: int) -> None:
    """Make folder from the six batch files of a .tar.gz, each of size bytes, all of them or nothing.

    A member is written under a name that stands in FILES, and no other is looked at, so an archive cannot
    place a file elsewhere.
    """
    import tarfile

    wanted = {f"{FOLDER}/{name}": name for names in FILES.values() for name in names}
    fresh = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir()
    tell(f"unpacking {archive.name}")
    try:
        with tarfile.open(archive, "r:gz") as members:
            for member in members:
                name = wanted.get(member.name)
                content = members.extractfile(member) if name and member.isreg() else None
                if name is None or content is None:
                    continue
                if member.size != size:
                    raise DatasetError(
                        f"{archive}: {member.name} has {member.size:,} bytes instead of {size:,}."
                    )
                with content, open(fresh / name, "wb") as out:
                    shutil.copyfileobj(content, out)
                del wanted[member.name]
        if wanted:
            raise DatasetError(f"{archive} lacks {', '.join(wanted)}.")
        os.replace(fresh, folder)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DatasetError(
            f"{archive} cannot be unpacked: {error}. Remove it and load the data again."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def read_batches(folder: Path, files: Sequence[str], records: int | None = None) -> ImageSet:
    """The records of these files in folder, one after the other.

    records: how many each file has to have; None takes any number.
    Raises DatasetError for a missing file, a size that is no whole number of records, or a label above 9.
    """
    counts = [_records_in(folder / name, records) for name in files]
    images = np.empty((sum(counts), 3, 32, 32), dtype=np.uint8)
    labels = np.empty(sum(counts), dtype=np.int64)
    start = 0
    for name, count in zip(files, counts, strict=True):
        batch = np.fromfile(folder / name, dtype=np.uint8).reshape(count, RECORD_BYTES)
        if batch[:, 0].max() > 9:
            row = int((batch[:, 0] > 9).argmax())
            raise DatasetError(f"{folder / name}: record {row} has the label {batch[row, 0]}, not 0 to 9.")
        labels[start : start + count] = batch[:, 0]
        images[start : start + count] = batch[:, 1:].reshape(count, 3, 32, 32)
        start += count
    return ImageSet(images, labels)


def _records_in(path: Path, records: int | None) -> int:
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}.") from error
    count, rest = divmod(size, RECORD_BYTES)
    if rest or not count or (records is not None and count != records):
        wanted = "a whole number of" if records is None else f"{records:,}"
        raise DatasetError(
            f"{path} has {size:,} bytes, which is not {wanted} records of {RECORD_BYTES} bytes."
        )
    return count

"""IDX files, CIFAR-10's records and archive: good ones are read, bad ones named. Runs in Pyodide too."""

import gzip
import io
import sys
import tarfile

import numpy as np
import pytest

from tinytorch.datasets import DatasetError, DownloadError, load_cifar10, load_mnist
from tinytorch.datasets.cifar10 import FILES, FOLDER, read_batches, unpack
from tinytorch.datasets.mnist import read_idx

BATCHES = [name for names in FILES.values() for name in names]


def idx(array):
    """The IDX file of a uint8 array, as bytes."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def digits(count, seed=0):
    generator = np.random.default_rng(seed)
    return (
        generator.integers(0, 256, (count, 28, 28), dtype=np.uint8),
        generator.integers(0, 10, count, dtype=np.uint8),
    )


def photographs(count, seed=0):
    """Images, labels, and their records as CIFAR-10 stores them."""
    generator = np.random.default_rng(seed)
    images = generator.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    labels = generator.integers(0, 10, count, dtype=np.uint8)
    return images, labels, np.concatenate([labels[:, None], images.reshape(count, -1)], axis=1).tobytes()


def test_read_idx_gives_back_the_array(tmp_path):
    images, _ = digits(3)
    for name, data in [("plain", idx(images)), ("packed.gz", gzip.compress(idx(images)))]:
        (tmp_path / name).write_bytes(data)
        read = read_idx(tmp_path / name)
        assert np.array_equal(read, images)
        assert read.dtype == np.uint8
        read[0] = 0  # writable


GOOD = idx(np.arange(6, dtype=np.uint8).reshape(2, 3))


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "starts with nothing"),
        (b"<html>", "starts with 3c 68 74 6d"),
        (bytes([0, 0, 13]) + GOOD[3:], "starts with 00 00 0d 02"),
        (GOOD[:7], "ends within its header of 12 bytes"),
        (GOOD[:-1], r"says shape \(2, 3\), so 6 bytes, but 5 follow"),
        (GOOD + b"x", r"says shape \(2, 3\), so 6 bytes, but 7 follow"),
        (bytes([0, 0, 8, 3]) + b"\xff" * 12, "but 0 follow"),
    ],
    ids=["empty", "web page", "floats", "short header", "short", "long", "huge sizes"],
)
def test_read_idx_names_what_is_wrong(tmp_path, data, complaint):
    path = tmp_path / "data-idx"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=complaint) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_read_idx_names_a_damaged_gzip_file(tmp_path):
    packed = gzip.compress(GOOD * 100)
    for data in (packed[:-20], packed[:30] + b"\x00" * 8 + packed[38:], b"no gzip at all"):
        path = tmp_path / "data.gz"
        path.write_bytes(data)
        with pytest.raises(DatasetError, match=r"data\.gz cannot be read"):
            read_idx(path)


def write_mnist(folder, images, labels, packed):
    for name, array in [("t10k-images-idx3-ubyte", images), ("t10k-labels-idx1-ubyte", labels)]:
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
        else:
            (folder / name).write_bytes(idx(array))


@pytest.mark.parametrize("packed", [True, False])
def test_load_mnist_reads_a_folder_of_yours_and_leaves_it_alone(tmp_path, packed):
    images, labels = digits(5)
    write_mnist(tmp_path, images, labels, packed)
    before = sorted(tmp_path.iterdir())
    loaded = load_mnist("test", data_dir=tmp_path)
    assert np.array_equal(loaded.images, images)
    assert np.array_equal(loaded.labels, labels)
    assert loaded.labels.dtype == np.int64
    assert sorted(tmp_path.iterdir()) == before


def test_load_mnist_says_which_file_a_folder_lacks(tmp_path):
    with pytest.raises(DatasetError, match=r"no train-images-idx3-ubyte\.gz in .*Leave out data_dir"):
        load_mnist("train", data_dir=tmp_path)


def test_load_mnist_refuses_files_that_do_not_belong_together(tmp_path):
    images, labels = digits(5)
    for pair, complaint in [
        ((images, labels[:4]), r"shape \(4,\) beside 5 images"),
        ((images[:, :14], labels), r"shape \(5, 14, 28\)"),
        ((images, labels + 10), r"has the label \d+, but labels are 0 to 9"),
    ]:
        write_mnist(tmp_path, *pair, packed=False)
        with pytest.raises(DatasetError, match=complaint):
            load_mnist("test", data_dir=tmp_path)


def write_batches(folder, counts):
    folder.mkdir()
    everything = [photographs(count, seed) for seed, count in enumerate(counts)]
    for name, (_, _, records) in zip(BATCHES, everything, strict=True):
        (folder / name).write_bytes(records)
    return everything


def test_load_cifar10_reads_a_folder_of_yours(tmp_path):
    batches = write_batches(tmp_path / FOLDER, [3, 1, 2, 2, 4, 5])
    train, test = load_cifar10("train", data_dir=tmp_path), load_cifar10("test", data_dir=tmp_path)
    assert np.array_equal(train.images, np.concatenate([images for images, _, _ in batches[:5]]))
    assert np.array_equal(train.labels, np.concatenate([labels for _, labels, _ in batches[:5]]))
    assert np.array_equal(test.images, batches[5][0])
    assert test.labels.dtype == np.int64


def test_load_cifar10_says_which_file_a_folder_lacks(tmp_path):
    with pytest.raises(DatasetError, match=r"data_batch_1\.bin cannot be read: No such file.*data_dir"):
        load_cifar10("train", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda data: data[:-1], "has 9,218 bytes, which is not a whole number of records of 3073"),
        (lambda data: b"", "has 0 bytes, which is not a whole number of records"),
        (lambda data: data[:3073] + b"\x0a" + data[3074:], "record 1 has the label 10, not 0 to 9"),
    ],
    ids=["short", "empty", "label"],
)
def test_load_cifar10_checks_record_size_and_labels(tmp_path, change, complaint):
    write_batches(tmp_path / FOLDER, [3] * 6)
    path = tmp_path / FOLDER / "test_batch.bin"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DatasetError, match=complaint):
        load_cifar10("test", data_dir=tmp_path)


def archive(path, members):
    """A .tar.gz of (name, bytes or TarInfo) pairs."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name) if isinstance(content, bytes) else content
            member.size = len(content) if isinstance(content, bytes) else 0
            tar.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return path


def test_unpack_takes_the_known_files_and_nothing_else(tmp_path):
    images, labels, records = photographs(2)
    members = [(f"{FOLDER}/{name}", records) for name in BATCHES]
    strangers = [
        (name, b"planted") for name in (f"{FOLDER}/../../up.bin", "../up.bin", "/up.bin", "readme.html")
    ]
    box = tmp_path / "box"
    box.mkdir()
    packed = archive(box / "set.tar.gz", [*strangers, *members])
    unpack(packed, box / FOLDER, len(records))
    assert sorted(path.name for path in (box / FOLDER).iterdir()) == sorted(BATCHES)
    assert sorted(path.name for path in box.iterdir()) == [FOLDER, "set.tar.gz"]
    assert [path.name for path in tmp_path.iterdir()] == ["box"]
    read = read_batches(box / FOLDER, ["test_batch.bin"], records=2)
    assert np.array_equal(read.images, images)
    assert np.array_equal(read.labels, labels)


def link(name):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
    return member


@pytest.mark.parametrize(
    ("last", "complaint"),
    [
        ([], "lacks .*test_batch.bin"),
        ([(f"{FOLDER}/test_batch.bin", link(f"{FOLDER}/test_batch.bin"))], "lacks .*test_batch.bin"),
        ([(f"{FOLDER}/test_batch.bin", b"short")], "test_batch.bin has 5 bytes instead of 6,146"),
    ],
    ids=["missing", "link", "short"],
)
def test_unpack_is_all_or_nothing(tmp_path, last, complaint):
    _, _, records = photographs(2)
    members = [(f"{FOLDER}/{name}", records) for name in BATCHES[:-1]]
    packed = archive(tmp_path / "set.tar.gz", members + last)
    with pytest.raises(DatasetError, match=complaint):
        unpack(packed, tmp_path / FOLDER, len(records))
    assert list(tmp_path.iterdir()) == [packed]


def test_unpack_names_an_archive_that_is_cut_short(tmp_path):
    _, _, records = photographs(2)
    packed = archive(tmp_path / "set.tar.gz", [(f"{FOLDER}/{name}", records) for name in BATCHES])
    packed.write_bytes(packed.read_bytes()[: packed.stat().st_size // 2])
    with pytest.raises(DatasetError, match=r"set\.tar\.gz cannot be unpacked"):
        unpack(packed, tmp_path / FOLDER, len(records))
    assert list(tmp_path.iterdir()) == [packed]


@pytest.mark.parametrize("load", [load_mnist, load_cifar10])
def test_an_unknown_split_is_named_with_those_that_exist(load):
    with pytest.raises(ValueError, match=rf"{load.__name__}: split is 'val', but .*'train', 'test'"):
        load("val")


@pytest.mark.skipif(
    sys.platform != "emscripten", reason="what the browser's Python says; this one may download"
)
@pytest.mark.parametrize("load", [load_mnist, load_cifar10])
def test_in_the_browser_a_download_is_refused_with_what_to_do(load):
    with pytest.raises(DownloadError, match=r"cannot be downloaded in the browser.*natively"):
        load()

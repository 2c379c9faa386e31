"""A cache that cannot be written to, and a disk that is full: real ones, no pretence."""

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

if sys.platform == "emscripten":
    pytest.skip("the browser's Python has neither sockets nor processes", allow_module_level=True)

from tests.datasets.test_formats import BATCHES, archive, photographs
from tinytorch.datasets import DownloadError, cifar10
from tinytorch.datasets.downloads import Resource, fetch

ROOT = Path(__file__).resolve().parents[2]
NAME = "numbers.bin"
BODY = random.Random(7).randbytes(300_000)
SOURCE = Resource(NAME, len(BODY), hashlib.sha256(BODY).hexdigest(), ())


@pytest.fixture(autouse=True)
def shelf(tmp_path, monkeypatch):
    """A folder with the file, as mirror."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / NAME).write_bytes(BODY)
    monkeypatch.setenv("TINYTORCH_MIRROR", shelf.as_uri())
    return shelf


def test_a_file_in_the_place_of_the_cache_is_named(tmp_path):
    place = tmp_path / "cache"
    place.write_text("not a folder")
    for folder in (place, place / "mnist"):
        with pytest.raises(DownloadError, match="TINYTORCH_DATA") as caught:
            fetch(SOURCE, folder)
        assert str(folder / NAME) in str(caught.value)
    assert place.read_text() == "not a folder"


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs /sys, where nobody may make a folder")
def test_a_cache_on_a_file_system_that_takes_nothing_is_named():
    with pytest.raises(DownloadError, match=r"could not store /sys/tinytorch.*TINYTORCH_DATA"):
        fetch(SOURCE, Path("/sys/tinytorch"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_write_permission_is_named_and_still_read(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o500)
    try:
        with pytest.raises(DownloadError, match=r"Permission denied.*TINYTORCH_DATA"):
            fetch(SOURCE, folder)
        folder.chmod(0o700)
        (folder / NAME).write_bytes(BODY)
        folder.chmod(0o500)
        assert fetch(SOURCE, folder).read_bytes() == BODY
    finally:
        folder.chmod(0o700)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, the disk that is always full")
def test_a_full_disk_is_named_with_what_the_file_takes(tmp_path):
    (tmp_path / f"{NAME}.part").symlink_to("/dev/full")
    with pytest.raises(DownloadError, match=r"No space left on device.*300 kB.*TINYTORCH_DATA"):
        fetch(SOURCE, tmp_path)
    assert not (tmp_path / NAME).exists()


LIMITED = """
import resource, sys
from pathlib import Path
from tinytorch.datasets import DownloadError, cifar10
from tinytorch.datasets.downloads import Resource, fetch
name, size, sha256, folder, limit = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
source = Resource(name, int(size), sha256, ())
try:
    if name.endswith(".tar.gz"):
        cifar10.cached(source, Path(folder), cifar10.FILES["test"], records=4, download=True)
    else:
        fetch(source, Path(folder))
except DownloadError as error:
    print(error)
"""


def fetch_with_limit(source, folder, limit):
    """What a process of its own says that may write no file longer than limit bytes."""
    arguments = [source.name, str(source.size), source.sha256, str(folder), str(limit)]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout


needs_limits = pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX's")


@needs_limits
def test_what_arrived_before_the_disk_was_full_is_kept_and_resumed(tmp_path):
    assert "File too large" in fetch_with_limit(SOURCE, tmp_path / "cache", 200_000)
    part = tmp_path / "cache" / f"{NAME}.part"
    arrived = part.read_bytes()
    assert 0 < len(arrived) <= 200_000
    assert arrived == BODY[: len(arrived)]
    assert fetch(SOURCE, tmp_path / "cache").read_bytes() == BODY


@needs_limits
def test_a_disk_that_fills_while_unpacking_keeps_the_archive_and_no_half_set(tmp_path, shelf):
    records = photographs(1)[2] * 4  # packs well: the archive passes the limit, its contents do not
    packed = archive(shelf / "tiny.tar.gz", [(f"{cifar10.FOLDER}/{name}", records) for name in BATCHES])
    limit = len(records) - 1
    assert packed.stat().st_size < limit
    source = Resource(packed.name, packed.stat().st_size, hashlib.sha256(packed.read_bytes()).hexdigest(), ())
    cache = tmp_path / "cache"
    assert "File too large" in fetch_with_limit(source, cache, limit)
    assert sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock")) == [packed.name]
    packed.unlink()  # the kept archive is enough
    assert len(cifar10.cached(source, cache, cifar10.FILES["test"], records=4, download=True).images) == 4

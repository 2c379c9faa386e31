"""Downloads against a real HTTP server on this machine: whole, resumed, flaky, damaged, missing."""

import contextlib
import hashlib
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

if sys.platform == "emscripten":
    pytest.skip("the browser's Python has neither sockets nor threads", allow_module_level=True)

from tests.datasets import local_server
from tests.datasets.local_server import drop_after, fail_with, flip_a_bit, hold, running
from tests.datasets.test_formats import BATCHES, archive, photographs
from tinytorch.datasets import DatasetError, DownloadError, cache_dir, cifar10, load_mnist
from tinytorch.datasets.downloads import Resource, fetch

ROOT = Path(__file__).resolve().parents[2]
NAME = "numbers.bin"
BODY = random.Random(7).randbytes(300_000)


def resource(*sources, body=BODY, name=NAME):
    return Resource(name, len(body), hashlib.sha256(body).hexdigest(), sources)


def at_once(source, folder, **options):
    """fetch without the pauses between attempts."""
    return fetch(source, folder, backoff=0, **options)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch, tmp_path):
    """No mirror, no proxy, and a cache of this test's own."""
    monkeypatch.delenv("TINYTORCH_MIRROR", raising=False)
    monkeypatch.setenv("TINYTORCH_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server():
    with running({NAME: BODY}) as one:
        yield one


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "deep" / "cache"


def kept(folder):
    """Names in the folder, locks left out."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def leave_part(folder, data):
    folder.mkdir(parents=True)
    (folder / f"{NAME}.part").write_bytes(data)


def test_a_file_arrives_whole_under_its_own_name(server, folder):
    path = at_once(resource(server.base), folder)
    assert path == folder / NAME
    assert path.read_bytes() == BODY
    assert kept(folder) == [NAME]


def test_a_verified_file_is_not_asked_for_again_and_its_folder_not_touched(server, folder):
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(BODY)
    at_once(resource(server.base), folder)
    assert server.requests == []
    assert list(folder.iterdir()) == [folder / NAME]


def test_a_partial_file_is_resumed_where_it_stopped(server, folder):
    leave_part(folder, BODY[:123_456])
    assert at_once(resource(server.base), folder).read_bytes() == BODY
    assert server.requests == [(NAME, "bytes=123456-")]
    assert kept(folder) == [NAME]


def test_a_server_that_ignores_ranges_sends_everything_once_more(server, folder):
    leave_part(folder, BODY[:1000])
    server.behaviours = [local_server.ignore_range]
    assert at_once(resource(server.base), folder).read_bytes() == BODY
    assert len(server.requests) == 1


def test_an_answer_with_another_range_is_not_appended(server, folder):
    leave_part(folder, BODY[:1000])
    server.behaviours = [local_server.wrong_range]
    assert at_once(resource(server.base), folder).read_bytes() == BODY
    assert server.requests == [(NAME, "bytes=1000-"), (NAME, None)]


def test_a_complete_partial_file_needs_no_request(server, folder):
    leave_part(folder, BODY)
    assert at_once(resource(server.base), folder).read_bytes() == BODY
    assert server.requests == []
    assert kept(folder) == [NAME]


@pytest.mark.parametrize("left", [BODY + b"x", bytes(len(BODY))], ids=["too long", "other bytes"])
def test_a_partial_file_that_cannot_be_right_is_fetched_anew(server, folder, left):
    leave_part(folder, left)
    assert at_once(resource(server.base), folder).read_bytes() == BODY
    assert server.requests == [(NAME, None)]


def test_a_damaged_partial_file_is_found_after_resuming_and_fetched_anew(server, folder, capsys):
    leave_part(folder, bytes(1000))
    assert at_once(resource(server.base), folder).read_bytes() == BODY
    assert server.requests == [(NAME, "bytes=1000-"), (NAME, None)]
    assert f"{NAME} has SHA-256" in capsys.readouterr().err


def test_a_damaged_partial_file_does_not_count_against_the_source(server, folder):
    leave_part(folder, bytes(1000))
    server.behaviours = [local_server.serve, flip_a_bit]
    assert at_once(resource(server.base), folder).read_bytes() == BODY
    assert len(server.requests) == 3


def test_a_connection_that_keeps_dropping_is_resumed_as_long_as_bytes_arrive(server, folder, capsys):
    server.behaviours = [drop_after(30_000)] * 9
    assert at_once(resource(server.base), folder, attempts=2).read_bytes() == BODY
    assert [asked for _, asked in server.requests] == [None] + [
        f"bytes={start}-" for start in range(30_000, 300_000, 30_000)
    ]
    assert "the connection closed after 30,000 of 300,000 bytes; trying again from byte 30,000" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(
    "trouble",
    [fail_with(503), fail_with(429), local_server.hang_up, drop_after(0)],
    ids=["503", "429", "hang-up", "empty"],
)
def test_passing_trouble_is_tried_again(server, folder, trouble):
    server.behaviours = [trouble] * 3
    assert at_once(resource(server.base), folder, attempts=4).read_bytes() == BODY
    assert len(server.requests) == 4


def test_lasting_trouble_ends_after_the_attempts_and_keeps_what_arrived(server, folder):
    server.behaviours = [drop_after(1000)] + [fail_with(503)] * 3
    with pytest.raises(DownloadError, match=r"answered 503 Service Unavailable .*\(3 attempts\)"):
        at_once(resource(server.base), folder, attempts=3)
    assert kept(folder) == [f"{NAME}.part"]
    assert at_once(resource(server.base), folder).read_bytes() == BODY
    assert server.requests[-1] == (NAME, "bytes=1000-")


def test_a_server_that_falls_silent_is_given_up_after_the_timeout(server, folder):
    server.behaviours = [local_server.stall]
    with pytest.raises(DownloadError, match="timed out"):
        at_once(resource(server.base), folder, attempts=1, timeout=0.1)


def test_a_file_that_the_server_lacks_is_not_asked_for_twice(server, folder):
    del server.files[NAME]
    with pytest.raises(DownloadError, match="answered 404 Not Found") as caught:
        at_once(resource(server.base), folder)
    assert len(server.requests) == 1
    for part in (server.base + NAME, "300 kB", "TINYTORCH_MIRROR", str(folder / NAME)):
        assert part in str(caught.value)


def test_the_next_source_goes_on_where_the_first_one_failed(server, folder):
    with running({NAME: BODY}) as first:
        first.behaviours = [drop_after(5000), fail_with(404)]
        assert at_once(resource(first.base, server.base), folder).read_bytes() == BODY
    assert server.requests == [(NAME, "bytes=5000-")]


def test_a_tampered_file_is_removed_and_fetched_again(server, folder, capsys):
    server.behaviours = [flip_a_bit]
    assert at_once(resource(server.base), folder).read_bytes() == BODY
    assert len(server.requests) == 2
    assert f"{NAME} has SHA-256" in capsys.readouterr().err


@pytest.mark.parametrize("behaviour", [flip_a_bit, local_server.sign_in_page], ids=["bit flip", "web page"])
def test_a_file_that_is_wrong_twice_is_refused_and_leaves_nothing(server, folder, behaviour):
    server.behaviours = [behaviour] * 2
    with pytest.raises(DownloadError, match=r"has SHA-256 .* instead of .*, twice; it was removed"):
        at_once(resource(server.base), folder)
    assert len(server.requests) == 2
    assert kept(folder) == []


def test_a_source_with_a_wrong_file_gives_way_to_the_next(server, folder):
    with running({NAME: BODY}) as first:
        first.behaviours = [flip_a_bit] * 2
        assert at_once(resource(first.base, server.base), folder).read_bytes() == BODY


def test_a_file_cut_short_on_the_server_is_refused_by_its_length(server, folder):
    server.behaviours = [local_server.shorter_file]
    with pytest.raises(DownloadError, match="offers 299,990 bytes where the file has 300,000"):
        at_once(resource(server.base), folder)
    assert kept(folder) == []


def test_a_file_cut_short_on_the_server_is_refused_when_resuming(server, folder):
    leave_part(folder, BODY[:299_995])
    server.behaviours = [local_server.shorter_file]
    with pytest.raises(DownloadError, match=r"answered 416 .*byte 299,995"):
        at_once(resource(server.base), folder)
    assert kept(folder) == [f"{NAME}.part"]


def test_an_answer_without_a_length_is_taken(server, folder):
    server.behaviours = [local_server.without_length]
    assert at_once(resource(server.base), folder).read_bytes() == BODY


def test_no_network_is_said_at_once(folder):
    # The reserved top-level domain .invalid never resolves.
    with pytest.raises(DownloadError, match="no network, or no such host"):
        at_once(resource("http://nowhere.invalid/"), folder)


def test_a_refused_connection_is_named(folder):
    with running({}) as gone:
        base = gone.base
    with pytest.raises(DownloadError, match=r"refused.*\(2 attempts\)"):
        at_once(resource(base), folder, attempts=2)


@pytest.mark.parametrize("seed", range(30))
def test_whatever_a_server_does_the_file_is_right_or_there_is_an_error(server, folder, seed):
    generator = random.Random(seed)
    troubles = [
        flip_a_bit,
        drop_after(0),
        drop_after(40_000),
        drop_after(200_000),
        fail_with(404),
        fail_with(500),
        local_server.hang_up,
        local_server.ignore_range,
        local_server.shorter_file,
        local_server.sign_in_page,
        local_server.without_length,
        local_server.wrong_range,
    ]
    for _ in range(4):
        server.behaviours = generator.choices(troubles, k=6)
        with contextlib.suppress(DownloadError):
            at_once(resource(server.base), folder, attempts=2)
        assert not (folder / NAME).exists() or (folder / NAME).read_bytes() == BODY
    server.behaviours = []
    assert at_once(resource(server.base), folder).read_bytes() == BODY
    assert kept(folder) == [NAME]


@pytest.mark.parametrize("damage", [BODY[:-1], BODY[:-1] + b"?"], ids=["short", "changed"])
def test_a_damaged_file_in_the_cache_is_named_removed_and_fetched_again(server, folder, capsys, damage):
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(damage)
    assert at_once(resource(server.base), folder).read_bytes() == BODY
    assert f"{folder / NAME} has" in capsys.readouterr().err


def test_without_download_nothing_is_asked_for_and_nothing_removed(server, folder):
    with pytest.raises(DatasetError, match=r"numbers\.bin is missing.*download=True"):
        at_once(resource(server.base), folder, download=False)
    folder.mkdir(parents=True)
    (folder / NAME).write_bytes(b"mine")
    with pytest.raises(DatasetError, match="has 4 bytes instead of 300,000"):
        at_once(resource(server.base), folder, download=False)
    assert (folder / NAME).read_bytes() == b"mine"
    assert server.requests == []


def test_a_mirror_is_asked_in_place_of_the_public_sources(server, folder, monkeypatch):
    with running({NAME: BODY}) as public:
        monkeypatch.setenv("TINYTORCH_MIRROR", server.base.rstrip("/"))
        assert at_once(resource(public.base), folder).read_bytes() == BODY
        assert public.requests == []


def test_a_failing_mirror_is_not_replaced_by_the_public_sources(server, folder, monkeypatch):
    with running({NAME: BODY}) as public:
        monkeypatch.setenv("TINYTORCH_MIRROR", server.base + "elsewhere")
        with pytest.raises(DownloadError, match="nobody else was asked"):
            at_once(resource(public.base), folder)
        assert public.requests == []


def test_a_folder_serves_as_mirror(tmp_path, folder, monkeypatch):
    shelf = tmp_path / "a shelf"
    shelf.mkdir()
    (shelf / NAME).write_bytes(BODY)
    leave_part(folder, BODY[:1000])
    monkeypatch.setenv("TINYTORCH_MIRROR", shelf.as_uri())
    assert at_once(resource(), folder).read_bytes() == BODY
    (shelf / NAME).unlink()
    (folder / NAME).unlink()
    with pytest.raises(DownloadError, match="No such file"):
        at_once(resource(), folder)


@pytest.mark.parametrize(
    "mirror",
    [
        "ftp://host/",
        "host/folder",
        "http://",
        "https://host:port/",
        "https://[::1/",
        "file://host/x/",
        "file:",
        "http://a b/",
    ],
)
def test_a_mirror_that_is_no_base_url_is_named(folder, monkeypatch, mirror):
    monkeypatch.setenv("TINYTORCH_MIRROR", mirror)
    with pytest.raises(DownloadError, match=r"TINYTORCH_MIRROR is .*It has to be a base URL"):
        at_once(resource(), folder)
    assert not folder.exists()


FETCH_IN_CHILD = """
import sys
from pathlib import Path
from tinytorch.datasets.downloads import Resource, fetch
name, size, sha256, source, folder = sys.argv[1:]
fetch(Resource(name, int(size), sha256, (source,)), Path(folder))
"""


def child(source, folder):
    """A process of its own that fetches into folder."""
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            FETCH_IN_CHILD,
            source.name,
            str(source.size),
            source.sha256,
            source.sources[0],
            folder,
        ],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_share_one_download(server, folder):
    reached, released = threading.Event(), threading.Event()
    server.behaviours = [hold(1000, reached, released)]
    source = resource(server.base)
    with child(source, folder) as first:
        assert reached.wait(timeout=60)
        with child(source, folder) as second:
            assert "another process is fetching" in second.stderr.readline()
            released.set()
            assert second.wait(timeout=60) == 0
        assert first.wait(timeout=60) == 0
    assert (folder / NAME).read_bytes() == BODY
    assert len(server.requests) == 1


def test_a_killed_download_leaves_no_lock_and_loses_nothing(server, folder):
    reached, released = threading.Event(), threading.Event()
    server.behaviours = [hold(200_000, reached, released)]
    part = folder / f"{NAME}.part"
    with child(resource(server.base), folder) as first:
        assert reached.wait(timeout=60)
        first.send_signal(signal.SIGKILL)
        first.wait(timeout=60)
    released.set()
    arrived = part.stat().st_size if part.exists() else 0
    assert at_once(resource(server.base), folder).read_bytes() == BODY
    assert server.requests[1] == (NAME, f"bytes={arrived}-" if arrived else None)


def test_progress_is_plain_lines_where_tqdm_is_not_installed(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)  # what Python does for a module that cannot be imported
    body = bytes(2_000_000)
    with running({NAME: body}) as server:
        at_once(resource(server.base, body=body), folder)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{NAME}: 2.0 MB from 127.0.0.1"
    assert lines[1:] == [f"{NAME}: {tenth}0 % of 2.0 MB" for tenth in range(1, 11)]


def test_the_cache_is_where_the_variable_says(monkeypatch, tmp_path):
    assert cache_dir() == tmp_path / "cache"
    monkeypatch.setenv("TINYTORCH_DATA", "~/data")
    assert cache_dir() == Path.home() / "data"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the XDG folders are Linux's")
def test_the_cache_follows_xdg_on_linux(monkeypatch, tmp_path):
    monkeypatch.delenv("TINYTORCH_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "tinytorch"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_dir() == Path.home() / ".cache" / "tinytorch"


def test_load_mnist_refuses_a_mirror_with_other_files(server, monkeypatch):
    server.files["t10k-images-idx3-ubyte.gz"] = b"not the published file"
    monkeypatch.setenv("TINYTORCH_MIRROR", server.base)
    with pytest.raises(DownloadError, match="offers 22 bytes where the file has 1,648,877"):
        load_mnist("test")


@pytest.fixture
def tiny_cifar(tmp_path, server):
    """A served archive with two records a file: its resource, and the records of the test batch."""
    members = [(f"{cifar10.FOLDER}/{name}", photographs(2, seed)[2]) for seed, name in enumerate(BATCHES)]
    packed = archive(tmp_path / "tiny.tar.gz", members)
    server.files[packed.name] = packed.read_bytes()
    return resource(server.base, body=packed.read_bytes(), name=packed.name), photographs(2, seed=5)


def load_tiny(source, folder, download=True):
    return cifar10.cached(source, folder, cifar10.FILES["test"], records=2, download=download)


def test_cifar_is_fetched_unpacked_and_then_read_from_the_cache(server, folder, tiny_cifar):
    source, (images, labels, _) = tiny_cifar
    for _ in range(2):
        loaded = load_tiny(source, folder)
        assert (loaded.images == images).all()
        assert (loaded.labels == labels).all()
    assert len(server.requests) == 1
    assert kept(folder) == [cifar10.FOLDER]  # neither the archive nor a half-made folder stays


@pytest.mark.parametrize(
    "damage",
    [lambda data: data[:-1], lambda data: b"\xff" + data[1:], lambda data: b""],
    ids=["short", "label", "empty"],
)
def test_a_damaged_cifar_file_in_the_cache_is_named_and_fetched_again(
    server, folder, tiny_cifar, damage, capsys
):
    source, (images, _, _) = tiny_cifar
    load_tiny(source, folder)
    path = folder / cifar10.FOLDER / "test_batch.bin"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DatasetError, match=r"test_batch\.bin.*download=True"):
        load_tiny(source, folder, download=False)
    assert (load_tiny(source, folder).images == images).all()
    assert str(path) in capsys.readouterr().err
    assert len(server.requests) == 2

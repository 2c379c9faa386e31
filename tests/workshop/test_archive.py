"""A workspace in one zip file: what goes in comes out, and nothing else gets in."""

import io
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinytorch.journey import archive
from tinytorch.journey.archive import Archive, ArchiveError, pack, unpack
from tinytorch.journey.progress import Attempt, Exported, Progress, ProgressError

FILES = {"source/05_autograd/autograd.py": "x = 'ü'\n", "package/autograd.py": "y = 1\n"}


def progress():
    found = Progress(current="05_autograd")
    found.exercises["05_autograd"] = {"unbroadcast": Attempt("2026-01-01T00:00:00+00:00", "ab", 2, True)}
    found.modules["05_autograd"] = Exported("2026-01-01T00:00:00+00:00", "cd", ["unbroadcast"], False)
    found.add_receipt(3, {"value": 97.0, "passed": True})
    return found


def zipped(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name, text in files.items():
            target.writestr(name, text)
    return buffer.getvalue()


def with_heads(**files):
    about = json.dumps({"format": 1})
    return zipped(**{"tinytorch.json": about, "progress.json": Progress().to_json(), **files})


def test_what_goes_in_comes_out():
    found = unpack(pack(Archive(FILES, progress()), "1.0"))
    assert found.files == FILES
    assert found.progress == progress()


def test_the_same_contents_give_the_same_bytes():
    one, other = progress(), progress()
    one.milestones = other.milestones = {}
    assert pack(Archive(FILES, one), "1") == pack(Archive(dict(reversed(FILES.items())), other), "1")


@pytest.mark.parametrize(
    "name",
    [
        "../evil.py", "/etc/passwd", "source/../../evil.py", "source/05_autograd/../../x.py", "C:\\evil.py",
        "source\\05_autograd\\autograd.py", "package/os.py", "source/05_autograd/other.py", ".tito/lock",
    ],
)  # fmt: skip
def test_a_name_that_a_workspace_does_not_have_is_refused(name):
    with pytest.raises(ArchiveError, match=r"not a file of a workspace|not a zip file"):
        unpack(with_heads(**{name: "x"}))


def test_a_file_twice_is_refused():
    buffer = io.BytesIO(with_heads())
    with zipfile.ZipFile(buffer, "a") as target, pytest.warns(UserWarning, match="Duplicate"):
        target.writestr("progress.json", "{}")
    with pytest.raises(ArchiveError, match="twice"):
        unpack(buffer.getvalue())


def test_what_expands_beyond_measure_is_refused():
    with pytest.raises(ArchiveError, match="too large"):
        unpack(with_heads(**{"package/autograd.py": "x" * (archive.LARGEST_FILE + 1)}))


def test_text_that_is_not_utf8_is_refused():
    with pytest.raises(ArchiveError, match="not UTF-8"):
        unpack(with_heads(**{"package/autograd.py": b"\xff\xfe"}))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a zip"),
        (b"hello", "not a zip"),
        (zipped(**{"progress.json": "{}"}), "no tinytorch.json"),
        (zipped(**{"tinytorch.json": "{"}), "damaged"),
        (zipped(**{"tinytorch.json": '{"format": 99}', "progress.json": "{}"}), "format 99"),
        (zipped(**{"tinytorch.json": '{"format": 1}'}), "no progress.json"),
        (zipped(**{"tinytorch.json": '{"format": 1}', "progress.json": "[]"}), "no version"),
    ],
)
def test_what_is_no_workspace_is_said(data, words):
    with pytest.raises(ArchiveError, match=words):
        unpack(data)


@given(st.data())
def test_a_damaged_archive_is_read_right_or_refused(data):
    good = bytearray(pack(Archive(FILES, Progress()), "1"))
    place = data.draw(st.integers(0, len(good) - 1))
    good[place] ^= data.draw(st.integers(1, 255))
    try:
        found = unpack(bytes(good))
    except ArchiveError:
        return
    assert set(found.files) <= archive.allowed_names()


# Progress


@given(st.text(), st.text(), st.integers(0, 9), st.booleans())
def test_progress_survives_json(name, when, hints, revealed):
    found = Progress()
    found.exercises["01_tensor"] = {name: Attempt(when, "f", hints, revealed)}
    assert Progress.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "damaged"), ("[", "damaged"), ("[]", "no version"), ('{"version": "1"}', "no version"),
        ('{"version": 2}', "newer TinyTorch"), ('{"version": 1}', "damaged"), ("[" * 100_000, "damaged"),
        (Progress().to_json().replace('"current": "01_tensor"', '"current": 3'), "expected text"),
        (Progress().to_json().replace('"exercises": {}', '"exercises": {"a": {"b": {"c": 1}}}'), "damaged"),
        (Progress().to_json().replace('"exercises": {}', '"exercises": {"a": {"b": {"hints": ""}}}'), "hint"),
        (Progress().to_json().replace('"modules": {}', '"modules": {"a": 1}'), "damaged"),
    ],
)  # fmt: skip
def test_a_damaged_progress_file_is_said(text, words):
    with pytest.raises(ProgressError, match=words):
        Progress.from_json(text)


def test_of_many_receipts_the_newest_and_the_best_stay():
    found = Progress()
    found.add_receipt(3, {"value": 99.0, "passed": True})
    for value in range(40):
        found.add_receipt(3, {"value": float(value), "passed": False})
    kept = found.milestones["3"]
    assert len(kept) == 20
    assert kept[0]["value"] == 99.0
    assert kept[-1]["value"] == 39.0

"""The shipped files are what their scripts make, and keep the promises of their datasheets."""

import hashlib
import importlib.util
import re
import zlib
from pathlib import Path

import numpy as np
import pytest

DATASETS = Path(__file__).resolve().parents[2] / "datasets"
if not DATASETS.is_dir():
    pytest.skip("needs the repository's datasets/, which a wheel does not carry", allow_module_level=True)

DIGITS = DATASETS / "tinydigits" / "tinydigits.npz"
TALKS = DATASETS / "tinytalks" / "tinytalks.tsv"


def script(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


talks = script(TALKS.with_name("split_tinytalks.py"))


@pytest.mark.parametrize(("path", "limit"), [(DIGITS, 310_000), (TALKS, 40_000)])
def test_a_shipped_file_is_small(path, limit):
    assert path.stat().st_size <= limit


@pytest.mark.parametrize("path", [DIGITS, TALKS])
def test_the_datasheet_names_the_file_as_it_is(path):
    sheet = path.with_name("README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in sheet
    assert f"{path.stat().st_size:,} bytes" in sheet
    assert "CC BY 4.0" in sheet


def test_tinydigits_holds_four_plain_arrays():
    with np.load(DIGITS, allow_pickle=False) as arrays:
        assert {name: (array.dtype.str, array.shape) for name, array in arrays.items()} == {
            "train_images": ("|u1", (1000, 8, 8)),
            "train_labels": ("|u1", (1000,)),
            "test_images": ("|u1", (200, 8, 8)),
            "test_labels": ("|u1", (200,)),
        }


def test_the_script_makes_tinydigits_again_bit_for_bit(tmp_path):
    pytest.importorskip("sklearn", reason="scikit-learn carries the UCI digits that TinyDigits is drawn from")
    again = tmp_path / "again.npz"
    script(DIGITS.with_name("make_tinydigits.py")).make(again)
    with np.load(DIGITS) as shipped, np.load(again) as made:
        assert {name: array.tobytes() for name, array in shipped.items()} == {
            name: array.tobytes() for name, array in made.items()
        }
    if not re.fullmatch(r"1\.[\d.]+", zlib.ZLIB_RUNTIME_VERSION):
        pytest.skip(f"the arrays agree; zlib {zlib.ZLIB_RUNTIME_VERSION} may pack them into other bytes")
    assert again.read_bytes() == DIGITS.read_bytes()


def test_tinytalks_breaks_none_of_its_rules():
    rows = talks.read()
    assert len(rows) == 350
    assert talks.faults(rows) == []


def test_the_splits_of_tinytalks_are_those_that_the_script_writes():
    assert talks.text_of(talks.split(talks.read())) == TALKS.read_bytes().decode("ascii")


def test_the_order_of_the_pairs_does_not_decide_their_split():
    rows = talks.read()

    def members(ordered):
        return {row["question"]: row["split"] for row in talks.split(ordered)}

    assert members(rows) == members(rows[::-1])


@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [
        ("question", "hello!", "asked 2 times: hello!"),
        ("answer", "Caf\u00e9.", "characters"),
        ("answer", "Two  spaces.", "stray spaces"),
        ("answer", "No full stop", "does not end a sentence"),
        ("answer", "A" * 60 + ".", "61 characters, but at most 60"),
        ("level", "2", "pairs by level"),
        ("answer", "Alone.", "given 1 times, not twice: Alone."),
    ],
)
def test_a_broken_rule_of_tinytalks_is_named(column, value, complaint):
    rows = talks.read()
    rows[1] = {**rows[1], column: value}
    assert complaint in "\n".join(talks.faults(rows))

"""The two sets that come with TinyTorch: TinyDigits and TinyTalks. No network, here and in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinytorch.datasets.downloads import DatasetError
from tinytorch.datasets.imageset import ImageSet, check_split


class TalkSet(NamedTuple):
    """Questions and their answers: `questions, answers, levels = load_tinytalks("train")`.

    questions, answers: N strings of printable ASCII each; levels: int64, (N,), from 1 (greetings) to 5.
    """

    questions: tuple[str, ...]
    answers: tuple[str, ...]
    levels: NDArray[np.int64]


def load_tinydigits(split: str = "train") -> ImageSet:
    """Handwritten digits, 8x8 grey: 1,000 to train on, 200 to test.

    split: "train" or "test". Each of the ten classes has equally many images.
    Returns images uint8 (N, 8, 8) with values from 0 (paper) to 16 (ink), labels int64 (N,).
    For a network: `images / np.float32(16)` lies in [0, 1].

    Source: Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository, 1998, https://doi.org/10.24432/C50P49, CC BY 4.0.
    """
    check_split("load_tinydigits", split, ("train", "test"))
    with np.load(_shipped("tinydigits", "tinydigits.npz"), allow_pickle=False) as arrays:
        return ImageSet(arrays[f"{split}_images"], arrays[f"{split}_labels"].astype(np.int64))


def load_tinytalks(split: str = "train") -> TalkSet:
    """Short questions and answers in five levels: 280 pairs to train on, 35 to validate, 35 to test.

    split: "train", "val" or "test". Levels: 1 greetings, 2 facts, 3 counting and arithmetic, 4 everyday
    reasoning, 5 machine learning; each has the same share of every split.
    Source: written for TinyTorch, CC BY 4.0.
    """
    check_split("load_tinytalks", split, ("train", "val", "test"))
    text = _shipped("tinytalks", "tinytalks.tsv").read_text(encoding="ascii")
    rows = [line.split("\t") for line in text.splitlines()[1:]]  # level, split, question, answer
    chosen = [(level, question, answer) for level, member, question, answer in rows if member == split]
    levels, questions, answers = zip(*chosen, strict=True)
    return TalkSet(questions, answers, np.array(levels, dtype=np.int64))


def _shipped(folder: str, name: str) -> Path:
    """The file where the wheel carries it, else where a clone of the repository has it."""
    here = Path(__file__).resolve().parent
    places = (here / "data" / name, here.parents[1] / "datasets" / folder / name)
    for path in places:
        if path.is_file():
            return path
    raise DatasetError(
        f"{name} comes with TinyTorch but lies neither at {places[0]} nor at {places[1]}. "
        "Install TinyTorch again."
    )

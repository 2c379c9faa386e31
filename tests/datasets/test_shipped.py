"""TinyDigits and TinyTalks as a reader gets them. Nothing here needs a network, so it runs in Pyodide too."""

import re

import numpy as np
import pytest

from tinytorch.datasets import load_tinydigits, load_tinytalks


@pytest.mark.parametrize(("split", "count"), [("train", 1000), ("test", 200)])
def test_tinydigits_has_documented_arrays(split, count):
    images, labels = load_tinydigits(split)
    assert images.shape == (count, 8, 8)
    assert images.dtype == np.uint8
    assert (images.min(), images.max()) == (0, 16)
    assert labels.shape == (count,)
    assert labels.dtype == np.int64


@pytest.mark.parametrize("split", ["train", "test"])
def test_tinydigits_has_equally_many_of_each_digit(split):
    labels = load_tinydigits(split).labels
    assert np.bincount(labels).tolist() == [len(labels) // 10] * 10


def test_no_digit_is_drawn_twice():
    drawn = np.concatenate([load_tinydigits("train").images, load_tinydigits("test").images])
    assert len(np.unique(drawn.reshape(1200, 64), axis=0)) == 1200


def test_tinydigits_mixes_its_classes():
    assert len(set(load_tinydigits("train").labels[:64].tolist())) == 10


def test_tinydigits_can_be_learned():
    """The label of the nearest training image is right for most test images: labels belong to images."""
    train, test = load_tinydigits("train"), load_tinydigits("test")
    known, asked = (part.images.reshape(-1, 64).astype(np.float32) for part in (train, test))
    distances = ((asked[:, None, :] - known[None, :, :]) ** 2).sum(axis=2)  # (200, 1000)
    assert (train.labels[distances.argmin(axis=1)] == test.labels).mean() > 0.9


def test_a_loaded_set_is_the_callers_own():
    load_tinydigits("test").images[:] = 0
    assert load_tinydigits("test").images.max() == 16


@pytest.mark.parametrize(("split", "count"), [("train", 280), ("val", 35), ("test", 35)])
def test_tinytalks_has_pairs_from_every_level(split, count):
    questions, answers, levels = load_tinytalks(split)
    assert len(questions) == len(answers) == count
    assert levels.dtype == np.int64
    assert np.bincount(levels).tolist() == [0] + [count // 5] * 5


def test_no_question_is_asked_twice_in_any_split():
    asked = [
        question.casefold() for split in ("train", "val", "test") for question in load_tinytalks(split)[0]
    ]
    assert len(set(asked)) == 350


def test_held_out_pairs_use_only_characters_seen_in_training():
    def characters(split):
        questions, answers, _ = load_tinytalks(split)
        return set("".join(questions + answers))

    assert characters("val") | characters("test") <= characters("train")


def test_every_held_out_question_is_asked_in_other_words_in_training():
    known = load_tinytalks("train").answers
    held_out = load_tinytalks("val").answers + load_tinytalks("test").answers
    assert len(set(held_out)) == 70
    assert all(known.count(answer) == 1 for answer in held_out)


@pytest.mark.parametrize(
    ("question", "answer", "result"),
    [
        (r"What is (\d) plus (\d)\?", "{0} plus {1} is {2}.", lambda a, b: a + b),
        (r"Add (\d) and (\d)\.", "{0} plus {1} is {2}.", lambda a, b: a + b),
        (r"What is (\d) minus (\d)\?", "{0} minus {1} is {2}.", lambda a, b: a - b),
        (r"Take (\d) from (\d)\.", "{1} minus {0} is {2}.", lambda a, b: b - a),
        (r"What is (\d) times (\d)\?", "{0} times {1} is {2}.", lambda a, b: a * b),
        (r"Multiply (\d) by (\d)\.", "{0} times {1} is {2}.", lambda a, b: a * b),
        (r"What comes (a)fter (\d)\?", "{2} comes {0}fter {1}.", lambda _, b: b + 1),
        (r"Which (n)umber follows (\d)\?", "{2} comes after {1}.", lambda _, b: b + 1),
    ],
)
def test_tinytalks_counts_right(question, answer, result):
    asked = 0
    for split in ("train", "val", "test"):
        for said, replied in zip(*load_tinytalks(split)[:2], strict=True):
            if found := re.fullmatch(question, said):
                a, b = (int(group) if group.isdigit() else group for group in found.groups())
                assert replied == answer.format(a, b, result(a, b))
                asked += 1
    assert asked >= 4


@pytest.mark.parametrize("load", [load_tinydigits, load_tinytalks])
def test_an_unknown_split_is_named_with_those_that_exist(load):
    with pytest.raises(ValueError, match=rf"{load.__name__}: split is 'valid', but .*'train', .*'test'"):
        load("valid")

"""Milestone 04: a CNN against an MLP on digits, and the script for CIFAR-10 on easy pictures."""

import os
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "emscripten", reason="the browser has no subprocesses")

DIGITS = "milestones/04_1998_cnn/digits.py"
CIFAR10 = "milestones/04_1998_cnn/cifar10.py"


@pytest.fixture(scope="module")
def plain_colours(tmp_path_factory):
    """Ten colours under noise in CIFAR-10's format, in a folder: 6,500 to train on, 500 to test."""
    folder = tmp_path_factory.mktemp("cifar") / "cifar-10-batches-bin"
    folder.mkdir()
    rng = np.random.default_rng(4)
    colours = rng.integers(40, 216, (10, 3, 1))
    for name, count in [*((f"data_batch_{i}.bin", 1300) for i in range(1, 6)), ("test_batch.bin", 500)]:
        labels = rng.integers(0, 10, (count, 1)).astype(np.uint8)
        pictures = colours[labels[:, 0]] + rng.normal(0, 20, (count, 3, 1024))
        records = np.hstack([labels, pictures.clip(0, 255).astype(np.uint8).reshape(count, 3072)])
        records.tofile(folder / name)
    return folder.parent


def test_a_cnn_beats_an_mlp_of_its_size(receipt_of, run):
    receipt = receipt_of(DIGITS)
    assert receipt["value"] >= 95
    assert receipt["parameters"] == 4462
    assert len(receipt["seed"]) == 5


def test_a_cnn_that_has_learned_little_misses_the_bar(receipt_of):
    assert receipt_of(DIGITS, "--epochs", 1, "--seeds", 1, status=None)["bar"] == 95


def test_the_script_for_photographs_learns_colours(receipt_of, plain_colours, tmp_path):
    pytest.importorskip("matplotlib", reason="matplotlib draws the plot")
    plot = tmp_path / "mistakes.png"
    receipt = receipt_of(CIFAR10, "--epochs", 6, "--data-dir", plain_colours, "--plot", plot)
    assert receipt["value"] >= 90
    assert "1,500 train, 5,000 held out, 500 test" in receipt["data"]
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_finished_training_on_photographs_is_measured_again(run, plain_colours):
    first = run(CIFAR10, "--epochs", 1, "--data-dir", plain_colours)
    again = run(CIFAR10, "--epochs", 1, "--data-dir", plain_colours, "--resume")
    said = [line for line in first.stdout.splitlines() if line.startswith("seed 0:")]
    assert said
    assert said == [line for line in again.stdout.splitlines() if line.startswith("seed 0:")]
    assert "epoch 1 of 1" not in again.stderr


@pytest.mark.slow
def test_a_cnn_reads_photographs(receipt_of):
    from tinytorch.datasets import DatasetError, cache_dir, load_cifar10

    try:
        for split in ("train", "test"):
            load_cifar10(split, download=False)
    except DatasetError:
        pytest.skip("CIFAR-10 is not in the cache; run the milestone once")
    receipt = receipt_of(CIFAR10, "--epochs", 3, timeout=900, TINYTORCH_DATA=os.fspath(cache_dir()))
    assert receipt["value"] >= 75

"""The published MNIST, where a mirror or the cache has it."""

import os
import sys

import numpy as np
import pytest

if sys.platform == "emscripten":
    pytest.skip("MNIST is not downloaded in the browser", allow_module_level=True)

from tinytorch.datasets import DatasetError, load_mnist


@pytest.fixture(scope="module")
def mnist():
    mirror = bool(os.environ.get("TINYTORCH_MIRROR"))
    try:
        return load_mnist("train", download=mirror), load_mnist("test", download=mirror)
    except DatasetError as missing:
        if mirror:
            raise
        pytest.skip(f"no MNIST in the cache, and TINYTORCH_MIRROR is not set: {missing}")


def test_mnist_has_its_published_counts(mnist):
    train, test = mnist
    assert train.images.shape == (60_000, 28, 28)
    assert test.images.shape == (10_000, 28, 28)
    assert np.bincount(train.labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_mnist_has_its_well_known_brightness(mnist):
    scaled = mnist[0].images / np.float32(255)
    assert scaled.dtype == np.float32
    assert abs(scaled.mean(dtype=np.float64) - 0.1307) < 5e-5
    assert abs(scaled.std(dtype=np.float64) - 0.3081) < 5e-5

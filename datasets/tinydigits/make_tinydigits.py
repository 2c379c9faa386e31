"""Make tinydigits.npz from the UCI optical digits that scikit-learn carries.

    python datasets/tinydigits/make_tinydigits.py [OUT_FILE]

Needs scikit-learn. The same input gives the same file, byte for byte (with zlib; another deflate
library may pack the same arrays into other bytes).
"""

import sys
from pathlib import Path

import numpy as np

TRAIN_PER_CLASS = 100
TEST_PER_CLASS = 20
SEED = 1998  # the year of Alpaydin & Kaynak


def select(images, labels):
    """Draw the stratified training and test sets.

    images: (N, 8, 8), values 0 to 16, labels: (N,), classes 0 to 9.
    Returns the four arrays of the file by name, all uint8. No image is drawn twice.
    """
    # NumPy promises RandomState's stream for good; default_rng may change between releases.
    generator = np.random.RandomState(SEED)
    train, test = [], []
    for digit in range(10):
        rows = generator.permutation(np.flatnonzero(labels == digit))
        train.append(rows[:TRAIN_PER_CLASS])
        test.append(rows[TRAIN_PER_CLASS : TRAIN_PER_CLASS + TEST_PER_CLASS])
    # Mixed once here, so that a loop without shuffling does not see one class after the other.
    train = generator.permutation(np.concatenate(train))
    test = generator.permutation(np.concatenate(test))
    return {
        "train_images": images[train].astype(np.uint8),
        "train_labels": labels[train].astype(np.uint8),
        "test_images": images[test].astype(np.uint8),
        "test_labels": labels[test].astype(np.uint8),
    }


def make(path):
    """Write the four arrays to path as a compressed .npz."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    np.savez_compressed(path, **select(digits.images, digits.target))


if __name__ == "__main__":
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("tinydigits.npz")
    make(out)
    print(f"{out}: {out.stat().st_size} bytes")

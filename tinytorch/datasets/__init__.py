"""Data to learn from: two small sets that ship, two benchmarks that download when first asked for.

    images, labels = load_tinydigits("train")
    questions, answers, levels = load_tinytalks("train")
    images, labels = load_mnist("test")
    images, labels = load_cifar10("train", data_dir="/data")

Everything comes as NumPy arrays in the bytes that were stored; no pickle is ever read.
"""

from tinytorch.datasets.cifar10 import CIFAR10_CLASSES, load_cifar10
from tinytorch.datasets.downloads import DatasetError, DownloadError, cache_dir
from tinytorch.datasets.imageset import ImageSet
from tinytorch.datasets.mnist import load_mnist
from tinytorch.datasets.shipped import TalkSet, load_tinydigits, load_tinytalks

__all__ = [
    "CIFAR10_CLASSES",
    "DatasetError",
    "DownloadError",
    "ImageSet",
    "TalkSet",
    "cache_dir",
    "load_cifar10",
    "load_mnist",
    "load_tinydigits",
    "load_tinytalks",
]

"""The figures that the datasets page states are those of the code and the files."""

from pathlib import Path

import pytest

from tinytorch.datasets import cifar10, mnist
from tinytorch.datasets.downloads import megabytes

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "datasets.md"
if not PAGE.is_file():
    pytest.skip("needs the repository's docs/, which a wheel does not carry", allow_module_level=True)


def row_of(name):
    """The cells of the set's row in the page's first table."""
    line = next(
        line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith(f"| {name} |")
    )
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("TinyDigits", (ROOT / "datasets/tinydigits/tinydigits.npz").stat().st_size),
        ("TinyTalks", (ROOT / "datasets/tinytalks/tinytalks.tsv").stat().st_size),
        ("MNIST", sum(resource.size for pair in mnist.FILES.values() for resource in pair)),
        ("CIFAR-10", cifar10.ARCHIVE.size),
    ],
)
def test_the_page_states_the_size_of_each_set(name, size):
    assert row_of(name)[3] == megabytes(size)


def test_the_page_names_every_file_that_a_mirror_has_to_hold():
    page = PAGE.read_text(encoding="utf-8")
    for resource in [*mnist.FILES["train"], *mnist.FILES["test"], cifar10.ARCHIVE]:
        assert f"`{resource.name}`" in page

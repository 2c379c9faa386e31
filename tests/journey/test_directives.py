"""The book's directives stop the build when an author asks for something that does not exist."""

import re
import sys
from io import StringIO
from pathlib import Path
from pickle import loads

import pytest

application = pytest.importorskip("sphinx.application", reason="the book's directives need the extra `site`")

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs" / "_ext"))


def build(folder: Path, text: str) -> tuple[str, str]:
    """The page that a text becomes, and the warnings on the way."""
    source = folder / "source"
    source.mkdir()
    (source / "index.md").write_text("# A page\n\n" + text, encoding="utf-8")
    warnings = StringIO()
    application.Sphinx(
        srcdir=source,
        confdir=None,
        outdir=folder / "html",
        doctreedir=folder / "doctrees",
        buildername="dummy",
        confoverrides={
            "extensions": ["myst_parser", "coresource", "diagrams", "namespace"],
            "myst_enable_extensions": ["attrs_inline"],
            # Sphinx keeps directives for the whole process, so the second build would find them there.
            "suppress_warnings": ["app.add_directive", "app.add_node", "app.add_role"],
        },
        status=None,
        warning=warnings,
    ).build()
    return loads((folder / "doctrees" / "index.doctree").read_bytes()).pformat(), warnings.getvalue()


def test_core_shows_a_function_as_it_stands_with_its_file_and_lines(tmp_path: Path) -> None:
    page, warnings = build(tmp_path, "```{core} tensor.matmul\n```\n")
    assert not warnings
    assert "def matmul(a, b):" in page
    assert "tinytorch/core/tensor.py" in page
    lines = (ROOT / "tinytorch" / "core" / "tensor.py").read_text(encoding="utf-8").splitlines()
    assert f"lines {lines.index('def matmul(a, b):')}–" in page  # the decorator stands a line above


def test_core_shows_a_method_without_the_indentation_of_its_class(tmp_path: Path) -> None:
    page, warnings = build(tmp_path, "```{core} tensor.Op.__call__\n```\n")
    assert not warnings
    assert re.search(r"xml:space=\S+>\n +def __call__\(", page)


def test_core_shows_a_row_of_the_derivative_table(tmp_path: Path) -> None:
    page, warnings = build(tmp_path, "```{core} autograd.derivative.mul\n```\n")
    assert not warnings
    assert "lambda g, b: g * b" in page


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```{core} tensor.matmull\n```", "has no 'matmull'; did you mean matmul"),
        ("```{core} tensro.matmul\n```", "there is no tinytorch/core/tensro.py; there are acceleration, "),
        ("```{journey} flow\n```", "there is no diagram 'flow'; there are learning-flow, "),
        ("```{mermaid}\nflowchart LR\n  a --> b\n```", "say in words what the diagram shows, as :alt:"),
        ("```{namespace} tinytorch.nnn\n```", "there is no tinytorch.nnn"),
    ],
)
def test_what_does_not_exist_is_an_error_that_helps(tmp_path: Path, text: str, message: str) -> None:
    _, warnings = build(tmp_path, text + "\n")
    assert "ERROR" in warnings
    assert message in warnings


def test_a_diagram_of_the_journey_comes_with_its_words(tmp_path: Path) -> None:
    page, warnings = build(tmp_path, "```{journey} difficulty\n```\n")
    assert not warnings
    assert "Bar chart of how hard the 20 modules are" in page
    assert "<table" in page

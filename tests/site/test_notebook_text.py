"""MyST text as the plain Markdown of a notebook."""

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "docs" / "_ext" / "notebook_text.py"
spec = importlib.util.spec_from_file_location("notebook_text", PATH)
assert spec is not None
assert spec.loader is not None
notebook_text = importlib.util.module_from_spec(spec)
spec.loader.exec_module(notebook_text)


@pytest.mark.parametrize(
    ("myst", "plain"),
    [
        ("# Title\n\nText with $x$.", "# Title\n\nText with $x$."),
        (":::{note} First words\nand more.\n:::", "> **Note**\n>\n> First words\n> and more."),
        (":::{admonition} A *title*\n:class: tip\nBody.\n:::", "> **A *title***\n>\n> Body."),
        ("```{math}\n:label: eq\ny = x\n```", "$$\ny = x\n$$"),
        ("```{mermaid}\n:alt: boxes\nflowchart LR\n a --> b\n```", "```mermaid\nflowchart LR\n a --> b\n```"),
        ("```{code-block} python\nx = 1\n```", "```python\nx = 1\n```"),
        ("```python\n# {note} stays\n```", "```python\n# {note} stays\n```"),
        ("See {doc}`the guide <../workflow>` and {doc}`../datasets`.", "See the guide and datasets."),
        ("{math}`a + b` of {func}`~tinytorch.ones`", "$a + b$ of `ones`"),
        ("[Next](../workflow.md#edit), [a](https://example.org/b)", "Next, [a](https://example.org/b)"),
        ("`x[0](1)` stays", "`x[0](1)` stays"),
        ("(a-label)=\n## Part\n\n% a comment\nText", "## Part\n\nText"),
        ("::::{grid}\n:::{card} One\nInside.\n:::\n::::", "Inside."),
        ("```{toctree}\nmodules/01\n```", ""),
        (":::{note}\nnever closed", "> **Note**\n>\n> never closed"),
    ],
)
def test_what_a_notebook_shows_of_myst(myst: str, plain: str) -> None:
    assert notebook_text.plain_markdown(myst) == plain

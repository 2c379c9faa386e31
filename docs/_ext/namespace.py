"""What is here, and what PyTorch has besides.

`{namespace} tinytorch.nn` lists the public names of a module or a class, each with what it is.
`{missing} torch.nn` lists the names that PyTorch documents there and TinyTorch does not have.
"""

import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

PYTORCH = Path(__file__).parents[1] / "reference" / "pytorch.json"


class Namespace(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        try:
            owner = resolve(name)
        except (ImportError, AttributeError) as error:
            raise self.error(f"namespace: there is no {name}: {error}") from error
        entries = list(public(owner))
        if not entries:
            raise self.error(f"namespace: {name} has no public names")
        items = nodes.definition_list(classes=["tt-namespace"])
        for label, thing in entries:
            term = nodes.term("", "", nodes.literal("", label))
            meaning = nodes.definition("", nodes.paragraph("", "", *prose(summary(thing))))
            items += nodes.definition_list_item("", term, meaning)
        return [items]


class Missing(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        namespace = self.arguments[0]
        self.env.note_dependency(str(PYTORCH))
        pytorch = json.loads(PYTORCH.read_text(encoding="utf-8"))
        if namespace not in pytorch["names"]:
            known = ", ".join(pytorch["names"])
            raise self.error(f"missing: nothing is known of {namespace}; there are {known}")
        names = pytorch["names"][namespace]
        ours = resolve(namespace.replace("torch", "tinytorch", 1))
        absent = [name for name in names if not hasattr(ours, name)]
        here = len(names) - len(absent)
        counted = f"{here} of {len(names)} names are here, {len(absent)} are not"
        summary = f"{namespace} {pytorch['version']}: {counted}"
        listed = nodes.paragraph("", "", classes=["tt-missing"])
        for name in absent:
            listed += [nodes.literal("", name), nodes.Text(" ")]
        opened = nodes.raw("", f"<details><summary>{summary}</summary>", format="html")
        return [opened, listed, nodes.raw("", "</details>", format="html")]


def resolve(name: str) -> Any:
    """The module, or the attribute of one, that a dotted name means."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        parent, _, attribute = name.rpartition(".")
        if not parent:
            raise
        return getattr(importlib.import_module(parent), attribute)


def public(owner: Any) -> Iterator[tuple[str, Any]]:
    """Names without an underscore that lead to a function, a class or a property, in alphabetical order."""
    names = getattr(owner, "__all__", None) or [name for name in dir(owner) if not name.startswith("_")]
    for name in sorted(names, key=str.lower):
        # A class's property is wanted as itself; a module may load a name when it is first asked for it.
        thing = inspect.getattr_static(owner, name) if inspect.isclass(owner) else getattr(owner, name)
        if callable(thing) or isinstance(thing, property | staticmethod | classmethod):
            yield name, thing


def summary(thing: Any) -> str:
    """The first paragraph of a docstring, or nothing."""
    text = inspect.getdoc(getattr(thing, "__func__", thing)) or ""
    return " ".join(text.split("\n\n")[0].split())


def prose(text: str) -> list[nodes.Node]:
    """A docstring's text, in which backticks mark code and nothing else is markup."""
    parts = re.split(r"`+([^`]+)`+", text)
    return [nodes.literal("", part) if i % 2 else nodes.Text(part) for i, part in enumerate(parts) if part]


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("namespace", Namespace)
    app.add_directive("missing", Missing)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

"""`{namespace} tinytorch.nn`: the public names of a module or a class, each with what it is."""

import importlib
import inspect
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata


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
            text = first_sentence(thing)
            items += nodes.definition_list_item(
                "", term, nodes.definition("", nodes.paragraph("", *self.parse_inline(text)[0]))
            )
        return [items]


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
        thing = inspect.getattr_static(owner, name)
        if callable(thing) or isinstance(thing, property | staticmethod | classmethod):
            yield name, thing


def first_sentence(thing: Any) -> str:
    """The first paragraph of a docstring, or nothing."""
    thing = getattr(thing, "__func__", thing)
    text = inspect.getdoc(thing) or ""
    return " ".join(text.split("\n\n")[0].split())


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("namespace", Namespace)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

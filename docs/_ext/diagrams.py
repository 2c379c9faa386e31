"""Mermaid diagrams, self-hosted.

`{journey} KIND` draws one of the journey's diagrams (journey_diagrams.py), with legend and the same in words.
`{mermaid}` draws the diagram in its body; its `:alt:` says in words what it shows.
`{chapters}` lists the chapters and milestones that exist in the sidebar.

The page gets Mermaid's source, and docs/_static/diagrams.js draws it when the reader comes near. The colours
are in tinytorch.css, so a diagram follows the page from light to dark.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from journey_diagrams import KINDS, LEGEND
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective
from sphinx.util.fileutil import copy_asset_file
from sphinx.util.typing import ExtensionMetadata

from tinytorch.journey.manifest import Milestone, Module, journey


class diagram(nodes.General, nodes.Element):  # noqa: N801 - docutils names its nodes so
    """A diagram's place in the page: `source`, `alt` and `kind`."""


def visit_diagram_html(self: Any, node: diagram) -> None:
    self.body.append(
        f'<div class="tt-diagram" role="img" aria-label="{self.attval(node["alt"])}" '
        f'data-kind="{self.attval(node["kind"])}"><pre class="tt-diagram-source" hidden>'
        f"{self.encode(node['source'])}</pre></div>\n"
    )
    raise nodes.SkipNode


class MermaidDirective(SphinxDirective):
    """A diagram in Mermaid's language. `:alt:` says in words what it shows; `:caption:` stands below it."""

    has_content = True
    option_spec = {"alt": directives.unchanged_required, "caption": directives.unchanged_required}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        if not self.content:
            raise self.error("mermaid: the directive has no diagram in it")
        if "alt" not in self.options:
            raise self.error("mermaid: say in words what the diagram shows, as :alt:")
        node = diagram("", source="\n".join(self.content), alt=self.options["alt"], kind="mermaid")
        if "caption" not in self.options:
            return [node]
        caption, messages = self.parse_inline(self.options["caption"])
        return [nodes.figure("", node, nodes.caption("", "", *caption)), *messages]


class JourneyDirective(SphinxDirective):
    """One of the journey's diagrams, with its legend and the same in words. `:words:` leaves only those."""

    required_arguments = 1
    option_spec = {"words": directives.flag}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        kind = self.arguments[0]
        if kind not in KINDS:
            raise self.error(f"journey: there is no diagram {kind!r}; there are {', '.join(KINDS)}")
        drawn = KINDS[kind](journey(), lambda entry: page_link(self.env, entry))
        if "words" in self.options:
            return self.parse_text_to_nodes(drawn.text, offset=self.content_offset)
        legend = " ".join(f"[{LEGEND[name]}]{{.tt-legend .tt-{name}}}" for name in drawn.legend)
        words = "\n\n".join(filter(None, [legend, drawn.text]))
        return [
            diagram("", source=drawn.source, alt=f"{drawn.title}. {drawn.alt}", kind=kind),
            *self.parse_text_to_nodes(words, offset=self.content_offset),
        ]


class ChaptersDirective(SphinxDirective):
    """The chapters by tier and the milestones, as far as their pages exist, for the sidebar."""

    def run(self) -> list[nodes.Node]:
        pages = {
            tier.name: [(m.label, f"modules/{m.name}") for m in journey().modules_of(tier.name)]
            for tier in journey().tiers
        }
        pages["Milestones"] = [
            ("All milestones", "milestones/index"),
            *((milestone.label, f"milestones/{milestone.folder}") for milestone in journey().milestones),
        ]
        trees = []
        for caption, listed in pages.items():
            entries = [(title, page) for title, page in listed if page in self.env.found_docs]
            if entries:
                trees.append(self.tree(caption, entries))
        return [nodes.compound("", *trees, classes=["toctree-wrapper"])]

    def tree(self, caption: str, entries: list[tuple[str, str]]) -> nodes.Node:
        return addnodes.toctree(
            "",
            parent=self.env.docname,
            entries=entries,
            includefiles=[page for _, page in entries],
            maxdepth=1,
            caption=caption,
            rawcaption=caption,
            glob=False,
            hidden=True,
            includehidden=False,
            numbered=0,
            titlesonly=True,
        )


def page_link(env: BuildEnvironment, entry: Module | Milestone) -> str:
    """The name of a module or milestone, as a link where its page exists."""
    page = f"modules/{entry.name}" if isinstance(entry, Module) else f"milestones/{entry.folder}"
    return f"[{entry.label}](/{page}.md)" if page in env.found_docs else entry.label


def pages_that_list_chapters(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """A page that comes or goes changes the links and the sidebar."""
    return ["index", "journey", "milestones/index"] if added or removed else []


def copy_mermaid(app: Sphinx, error: Exception | None) -> None:
    """Mermaid and its chunks, from lite/node_modules to _static/mermaid."""
    if error or app.builder.format != "html":
        return
    origin = Path(app.confdir, "lite", "node_modules", "mermaid", "dist")
    if not origin.is_dir():
        raise ExtensionError("Mermaid is not installed: run `npm ci` in lite/, or `make html`")
    target = Path(app.outdir, "_static", "mermaid")
    version = json.loads((origin.parent / "package.json").read_text())["version"]
    stamp = target / "version.txt"
    if stamp.is_file() and stamp.read_text() == version:
        return
    chunks = Path("chunks", "mermaid.esm.min")
    shutil.rmtree(target, ignore_errors=True)
    (target / chunks).mkdir(parents=True)
    copy_asset_file(origin / "mermaid.esm.min.mjs", target)
    for path in (origin / chunks).glob("*.mjs"):
        shutil.copyfile(path, target / chunks / path.name)
    shutil.copyfile(origin.parent / "LICENSE", target / "LICENSE")
    stamp.write_text(version)


def add_script(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """The drawing script, on pages that have a diagram."""
    if doctree is not None and next(doctree.findall(diagram), None) is not None:
        app.add_js_file("diagrams.js", type="module")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_node(diagram, html=(visit_diagram_html, None))
    app.add_directive("mermaid", MermaidDirective)
    app.add_directive("journey", JourneyDirective)
    app.add_directive("chapters", ChaptersDirective)
    app.connect("env-get-outdated", pages_that_list_chapters)
    app.connect("html-page-context", add_script)
    app.connect("build-finished", copy_mermaid)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

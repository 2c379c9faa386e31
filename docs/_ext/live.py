"""Live cells: marks every code cell of a page so that its script can edit and run it in the browser.

MyST-NB executes the cells when the site is built, so a page is complete without JavaScript. This extension
wraps each cell in `.tt-cell` with its buttons, puts the bar that starts Python above the first one,
shows errors in readable form, and writes each chapter as a notebook for JupyterLite. The page's side is
`lite/live/`.

Tags of a cell: `tt-static` for one that only runs when the site is built; `raises-exception` for one whose
error is the lesson. `:name:` gives a cell the name under which a reader's edit is kept; without one it is
known by its text.
"""

import hashlib
import json
import re
from html import escape
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import nbformat
from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from notebook_text import plain_markdown
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

ROOT = Path(__file__).parents[2]
LITE = ROOT / "lite"
STATIC_TAGS = {"tt-static"}

CELL_TOOLS = """
<div class="tt-tools">
<button type="button" class="tt-button tt-primary" data-tt="run"
 title="Run this cell (Ctrl-Enter)">Run</button>
<button type="button" class="tt-button tt-stop" data-tt="stop" hidden>Stop</button>
<button type="button" class="tt-button" data-tt="run-above"
 title="Run the cells above that have not run yet, then this one"{first}>Run to here</button>
<button type="button" class="tt-button" data-tt="reset" hidden>Reset</button>
<span class="tt-note"></span>
</div>
"""

STATIC_NOTE = """
<p class="tt-tools tt-note">This cell needs more than a browser: it ran when the page was built.</p>
"""

BAR = """
<div class="tt-bar" role="region" aria-label="Python on this page" data-tt-page="{page}">
<div class="tt-bar-row">
<button type="button" class="tt-button tt-primary" data-tt="start">Start Python</button>
<button type="button" class="tt-button tt-primary" data-tt="run-all" hidden>Run all</button>
<button type="button" class="tt-button" data-tt="restart" hidden>Restart Python</button>
<p class="tt-status">Run and change the code on this page{size}.</p>
</div>
<progress class="tt-progress" max="1" aria-label="Python is loading" hidden></progress>
<div class="tt-bar-row tt-bar-more">
<label><input type="checkbox" data-tt="autostart"> Start by itself on every page</label>
<a class="tt-notebook" href="{notebook}">Open as notebook</a>
<span>Nothing you write leaves your computer.</span>
</div>
<p class="tt-spoken" role="status"></p>
</div>
"""


class LiveCell(nodes.General, nodes.Element):
    """A code cell that the page can run: `cell` (its name), `hash`, `index`, `number`, `raises`."""


def visit_live_cell(translator: HTML5Translator, node: LiveCell) -> None:
    attributes = {
        "CLASS": "tt-cell docutils container",
        "role": "group",
        "aria-label": f"Code cell {node['number']}",
        "data-tt-cell": node["cell"],
        "data-tt-hash": node["hash"],
        "data-tt-index": str(node["index"]),
    }
    if node["raises"]:
        attributes["data-tt-raises"] = "yes"
    translator.body.append(translator.starttag(node, "div", **attributes))


def depart_live_cell(translator: HTML5Translator, node: LiveCell) -> None:
    translator.body.append("</div>\n")


def visit_fold(translator: HTML5Translator, node: HideCodeCellNode) -> None:
    """MyST-NB's fold of a hidden cell, whose summary is named by its own words."""
    translator.body.append(f'<details class="hide {" ".join(node["classes"])}"><summary>\n')
    for state in ("collapsed", "expanded"):
        words = node["prompt_show" if state == "collapsed" else "prompt_hide"]
        translator.body.append(f'<p class="{state} admonition-title">{escape(words)}</p>\n')
    translator.body.append("</summary>\n")


def depart_fold(translator: HTML5Translator, node: HideCodeCellNode) -> None:
    translator.body.append("</details>\n")


def skip_wrapper(translator: Any, node: nodes.Node) -> None:
    """Outside HTML a live cell is its contents."""


def first_of(node: nodes.Node, element: str) -> nodes.Element | None:
    """The first container below `node` that MyST-NB calls `element`."""
    return next((n for n in node.findall(nodes.container) if n.get("nb_element") == element), None)


def arrange(cell: nodes.Element, source: nodes.Element, output: nodes.Element, tools: nodes.Node) -> None:
    """Put `tools` below the code of a cell, and `output` after it where there was none.

    The tools stand outside a fold that holds the code alone, and inside one that holds the outputs too.
    """
    code = source
    while code.parent is not cell and output not in code.parent.findall():
        code = code.parent
    holder = code.parent
    holder.insert(holder.index(code) + 1, tools)
    if output.parent is None:
        holder.append(output)


def raw(html: str) -> nodes.raw:
    return nodes.raw("", html, format="html")


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class MakeCellsLive(SphinxPostTransform):
    """Wraps the cells of a page, after MyST-NB chose their outputs and folded what is hidden."""

    default_priority = 300
    formats = ("html",)

    def run(self, **kwargs: Any) -> None:
        for block in list(self.document.findall(nodes.literal_block)):
            if "traceback" in block["classes"]:
                block.replace_self(readable_error(block.astext()))
        folder = Path(self.env.srcdir)
        names: set[str] = set()
        number = 0
        for cell in list(self.document.findall(nodes.container)):
            if cell.get("nb_element") != "cell_code":
                continue
            source = first_of(cell, "cell_code_source")
            tags = set(cell["cell_metadata"].get("tags", ()))
            if source is None:
                continue
            output = first_of(cell, "cell_code_output") or nodes.container(classes=["cell_output"])
            source["classes"].append("tt-code")
            output["classes"].append("tt-output")
            if tags & STATIC_TAGS:
                settle_images(output, folder, "a cell that ran when the page was built")
                arrange(cell, source, output, raw(STATIC_NOTE))
                continue
            number += 1
            settle_images(output, folder, f"code cell {number}")
            tools = raw(CELL_TOOLS.format(first=" hidden" if number == 1 else ""))
            arrange(cell, source, output, tools)
            text = source.astext().strip("\n")
            live = LiveCell(
                cell=self.name_of(cell, text, names),
                hash=digest(text),
                index=cell["cell_index"],
                number=number,
                raises="raises-exception" in tags,
                classes=cell["classes"],
                ids=cell["ids"],
            )
            live.extend(cell.children)
            cell.replace_self(live)
        first = next(iter(self.document.findall(LiveCell)), None)
        if first is not None:
            first.parent.insert(first.parent.index(first), self.bar())

    def name_of(self, cell: nodes.container, text: str, taken: set[str]) -> str:
        """The author's name for the cell, else "~" and a hash of its text; unique on the page."""
        name = given = str(cell["cell_metadata"].get("name") or f"~{digest(text)}")
        if name in taken:
            if not name.startswith("~"):
                logger.warning("two cells of this page are named %r", name, location=cell)
            name = next(f"{given}-{k}" for k in count(2) if f"{given}-{k}" not in taken)
        taken.add(name)
        return name

    def bar(self) -> nodes.raw:
        """What stands above the first live cell of a page."""
        docname = self.env.docname
        lite = "../" * docname.count("/") + self.config.live_lite_path
        notebook = f"{lite}notebooks/index.html?path={quote(docname)}.ipynb"
        return raw(BAR.format(page=escape(docname), notebook=escape(notebook), size=download_size()))


def readable_error(traceback: str) -> nodes.raw:
    """What went wrong in one line; the traceback names files of the building machine and is left out."""
    lines = traceback.strip().splitlines()
    last = max((k for k, line in enumerate(lines) if re.match(r"[A-Za-z_][\w.]*(: |$)", line)), default=-1)
    name, _, message = "\n".join(lines[last:]).partition(": ")
    text = f"<strong>{escape(name)}</strong>" + (f": {escape(message)}" if message else "")
    return raw(f'<div class="output tt-error"><p>{text}</p></div>\n')


def settle_images(output: nodes.Element, folder: Path, maker: str) -> None:
    """Drawings that take their colour from the page go into it; other pictures get words.

    MyST-NB saves every picture as a file in or beside `folder` and calls it by the file's name.
    """
    for image in list(output.findall(nodes.image)):
        path = folder / image["uri"]
        drawing = path.read_text(encoding="utf-8") if path.suffix == ".svg" and path.is_file() else ""
        if "currentColor" in drawing:
            image.replace_self(raw(f'<div class="output tt-image">{drawing}</div>'))
        else:
            image.setdefault("alt", f"Picture made by {maker}; the text around it says what it shows.")


def download_size() -> str:
    """What Start downloads, as the manifest of the page's Python has it."""
    manifest = LITE / "static" / "pyodide" / "live" / "manifest.json"
    if not manifest.exists():
        return ""
    size = sum(file["bytes"] for file in json.loads(manifest.read_text())["files"].values())
    return f". Python is a download of {size / 1e6:.0f} MB, which your browser keeps"


def add_assets(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if doctree is None:
        return
    if any("cell" in node.get("classes", ()) for node in doctree.findall(nodes.Element)):
        app.add_css_file("live/live.css")
    if next(iter(doctree.findall(LiveCell)), None) is not None:
        app.add_js_file("live/page.js", type="module")


# --- JupyterLite --------------------------------------------------------------------------------------


def configure(app: Sphinx, config: Config) -> None:
    """Everything that jupyterlite-sphinx has to know."""
    build = Path(app.outdir).parent
    config.jupyterlite_dir = str(LITE)
    config.jupyterlite_config = str(LITE / "jupyter_lite_config.json")
    config.jupyterlite_content_dir = str(build / "notebooks")
    config.jupyterlite_bind_ipynb_suffix = False


def drop_outside_styles(app: Sphinx, config: Config) -> None:
    """jupyterlite-sphinx decorates its frames with a web font and styles; we use neither frames nor fonts."""
    unused = ("https://fonts.googleapis.com", "jupyterlite_sphinx")
    registry = app.registry
    registry.css_files = [entry for entry in registry.css_files if not entry[0].startswith(unused)]
    registry.js_files = [entry for entry in registry.js_files if not (entry[0] or "").startswith(unused)]


def write_notebooks(app: Sphinx, error: Exception | None) -> None:
    """Every page with live cells as a notebook, for JupyterLite's build, which follows."""
    if error is not None or app.builder.format != "html":
        return
    build = Path(app.outdir).parent
    for docname in sorted(app.env.found_docs):
        executed = build / "jupyter_execute" / f"{docname}.ipynb"
        if not executed.exists():
            continue
        notebook = clean_notebook(nbformat.read(executed, as_version=4))
        if any(cell.cell_type == "code" for cell in notebook.cells):
            target = build / "notebooks" / f"{docname}.ipynb"
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, target)


def remove_task_database(app: Sphinx, error: Exception | None) -> None:
    """JupyterLite's build leaves the record of its tasks in the source folder."""
    (Path(app.srcdir) / ".jupyterlite.doit.db").unlink(missing_ok=True)


def clean_notebook(executed: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The cells a reader can run and the text between them, without outputs and in plain Markdown."""
    cells = []
    for place, cell in enumerate(executed.cells):
        tags = set(cell.metadata.get("tags", ()))
        name = f"cell-{place}"
        if cell.cell_type == "markdown":
            text = plain_markdown(cell.source)
            if text:
                cells.append(nbformat.v4.new_markdown_cell(text, id=name))
        elif cell.cell_type == "code" and not tags & {"remove-cell", "remove-input", *STATIC_TAGS}:
            kept = {"tags": ["raises-exception"]} if "raises-exception" in tags else {}
            cells.append(nbformat.v4.new_code_cell(cell.source, id=name, metadata=kept))
    metadata = {"kernelspec": {"name": "python", "display_name": "Python (Pyodide)", "language": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("live_lite_path", "lite/", "html")
    nothing = (skip_wrapper, skip_wrapper)
    app.add_node(LiveCell, html=(visit_live_cell, depart_live_cell), text=nothing, latex=nothing)
    app.add_node(HideCodeCellNode, override=True, html=(visit_fold, depart_fold))
    app.add_post_transform(MakeCellsLive)
    app.connect("config-inited", configure, priority=100)
    app.connect("config-inited", drop_outside_styles)
    app.connect("html-page-context", add_assets)
    app.connect("build-finished", write_notebooks, priority=100)
    app.connect("build-finished", remove_task_database, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

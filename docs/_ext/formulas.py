"""Formulas, set by KaTeX when the site is built: no script on the page, MathML for who listens to it.

Node does the setting (`lite/katex.mjs`). Pages with a formula load KaTeX's style sheet, which `npm run build`
in lite/ puts into _static/katex with its fonts.
"""

import json
import subprocess
from html import escape
from pathlib import Path
from typing import IO, Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.locale import _
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

SCRIPT = Path(__file__).parents[2] / "lite" / "katex.mjs"


class Katex:
    """One Node process for all formulas of a build, started with the first."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[str] | None = None
        self.set_before: dict[tuple[str, bool], dict[str, str]] = {}

    def html(self, tex: str, display: bool, node: nodes.Node) -> str:
        """The formula as HTML; a mistake in it is a warning at its place, and its source is shown."""
        key = (tex, display)
        if key not in self.set_before:
            self.set_before[key] = self.ask({"tex": tex, "display": display})
        answer = self.set_before[key]
        if "error" in answer:
            logger.warning("formula: %s", answer["error"], location=node)
            return escape(tex)
        return answer["html"]

    def ask(self, question: dict[str, Any]) -> dict[str, str]:
        if self.process is None:
            command, pipe = ["node", str(SCRIPT)], subprocess.PIPE
            self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, encoding="utf-8")
        stdin, stdout = self.streams(self.process)
        stdin.write(json.dumps(question) + "\n")
        stdin.flush()
        line = stdout.readline()
        if not line:
            raise ExtensionError("KaTeX did not answer: run `npm ci` in lite/, or `make html`")
        answer: dict[str, str] = json.loads(line)
        return answer

    @staticmethod
    def streams(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
        assert process.stdin is not None
        assert process.stdout is not None
        return process.stdin, process.stdout

    def close(self) -> None:
        if self.process is not None:
            for stream in self.streams(self.process):
                stream.close()
            self.process.wait(timeout=10)
            self.process = None


katex = Katex()


def visit_inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(translator.starttag(node, "span", "", CLASS="math"))
    translator.body.append(katex.html(node.astext(), False, node) + "</span>")
    raise nodes.SkipNode


def visit_block(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(translator.starttag(node, "div", CLASS="math"))
    if node["number"]:
        number = get_node_equation_number(translator, node)
        translator.body.append(f'<span class="eqno">({number})')
        translator.add_permalink_ref(node, _("Link to this equation"))
        translator.body.append("</span>")
    translator.body.append(katex.html(node.astext(), True, node) + "</div>\n")
    raise nodes.SkipNode


def add_style(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    if doctree is not None and any(doctree.findall(lambda n: isinstance(n, nodes.math | nodes.math_block))):
        app.add_css_file("katex/katex.min.css")


def finish(app: Sphinx, error: Exception | None) -> None:
    katex.close()


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_html_math_renderer("katex", (visit_inline, None), (visit_block, None))
    app.connect("html-page-context", add_style)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": False}

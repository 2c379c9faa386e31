"""`{core} FILE.NAME`: the source of one thing in tinytorch/core, as it stands in the file.

    ```{core} tensor.matmul
    ```
    ```{core} tensor.Tensor.reshape
    :caption: How a view is made
    ```

NAME is a function, a class, a method, a name that is assigned to, or a row of the derivative table
(autograd.derivative.mul). Several of them make one block. The caption names the file and its lines. For a
name that does not exist the build stops and suggests the nearest ones.
"""

import ast
import difflib
import textwrap
from functools import lru_cache
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

CORE = Path(__file__).parents[2] / "tinytorch" / "core"


@lru_cache(maxsize=32)
def definitions(path: Path, changed: float) -> dict[str, tuple[int, int]]:
    """Qualified name -> first and last line, decorators included. `changed` makes an edit count."""
    found: dict[str, tuple[int, int]] = {}

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            match node:
                case ast.FunctionDef() | ast.ClassDef():
                    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                    found[prefix + node.name] = (first, node.end_lineno or first)
                    if isinstance(node, ast.ClassDef):
                        visit(node.body, f"{prefix}{node.name}.")
                case ast.Assign(targets=targets):
                    for target in targets:
                        if isinstance(target, ast.Name):
                            found[prefix + target.id] = (node.lineno, node.end_lineno or node.lineno)
                case ast.AnnAssign(target=ast.Name(id=name)):
                    found[prefix + name] = (node.lineno, node.end_lineno or node.lineno)
                case ast.Expr(
                    value=ast.Call(
                        func=ast.Name(id="derivative"), args=[ast.Name(id=op) | ast.Attribute(attr=op), *_]
                    )
                ):
                    # A row of the derivative table is called by its op: autograd.derivative.mul
                    found[f"{prefix}derivative.{op}"] = (node.lineno, node.end_lineno or node.lineno)

    visit(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return found


class CoreSource(SphinxDirective):
    required_arguments = 1
    final_argument_whitespace = True
    has_content = False
    option_spec = {"caption": directives.unchanged_required, "name": directives.unchanged}  # noqa: RUF012

    def run(self) -> list[nodes.Node]:
        blocks, captions = [], []
        for name in self.arguments[0].split():
            source, first, last, file = self.find(name)
            blocks.append(source)
            captions.append(f"{file}, line {first}" if first == last else f"{file}, lines {first}–{last}")
        literal = nodes.literal_block(source := "\n\n".join(blocks), source, language="python")
        literal["classes"].append("tt-core")
        where = nodes.caption("", "")
        if "caption" in self.options:
            text, messages = self.parse_inline(self.options["caption"])
            where += [*text, nodes.Text(" · "), *messages]
        for i, caption in enumerate(captions):
            where += [nodes.Text("; " if i else ""), nodes.literal("", caption.split(",")[0])]
            where += nodes.Text("," + caption.split(",", 1)[1])
        block = nodes.container("", where, literal, literal_block=True, classes=["tt-core-block"])
        self.add_name(block)
        return [block]

    def find(self, name: str) -> tuple[str, int, int, str]:
        """Source, first line, last line and the file of `tensor.matmul`."""
        stem, _, qualified = name.partition(".")
        path = CORE / f"{stem}.py"
        if not path.is_file():
            stems = sorted(file.stem for file in CORE.glob("[!_]*.py"))
            raise self.error(f"core: there is no tinytorch/core/{stem}.py; there are {', '.join(stems)}")
        self.env.note_dependency(str(path))
        known = definitions(path, path.stat().st_mtime)
        if qualified not in known:
            near = difflib.get_close_matches(qualified, known, n=5, cutoff=0.3) or sorted(known)[:8]
            raise self.error(
                f"core: tinytorch/core/{stem}.py has no {qualified!r}; did you mean {', '.join(near)}?"
            )
        first, last = known[qualified]
        lines = path.read_text(encoding="utf-8").splitlines()[first - 1 : last]
        return textwrap.dedent("\n".join(lines)), first, last, f"tinytorch/core/{stem}.py"


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("core", CoreSource)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

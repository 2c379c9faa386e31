"""Run the cells of a page as a notebook would, without IPython.

lite/live/worker.js imports this module inside Pyodide, calls `connect` once and then awaits `run` for each
cell. What a cell prints, displays or raises leaves through the one function given to `connect`, as JSON.
"""

from __future__ import annotations

import ast
import asyncio
import base64
import builtins
import contextlib
import errno
import importlib.machinery
import inspect
import io
import json
import linecache
import os
import pprint
import random
import sys
import time
import traceback
from types import CodeType
from typing import ClassVar

import __main__

TEXT_LIMIT = 1_000_000  # characters printed by one cell
DISPLAY_LIMIT = 10_000_000  # characters of figures, tables and results of one cell
LINES_AT_ONCE = 20  # lines that go out by themselves; after them text is gathered
GATHER_SECONDS = 0.03
PIXEL_RATIO = 2  # figures are drawn for screens with two device pixels to a CSS pixel

RICH_METHODS = {
    "text/html": "_repr_html_",
    "image/svg+xml": "_repr_svg_",
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
    "text/markdown": "_repr_markdown_",
    "text/latex": "_repr_latex_",
}
SITE_PACKAGES = os.path.dirname(os.path.abspath(__file__)) + "/"


class Cell:
    """Where output goes now: the cell that runs, or the last one that ran."""

    id = None
    text_left = TEXT_LIMIT
    display_left = DISPLAY_LIMIT
    filenames: ClassVar[set[str]] = set()
    post = staticmethod(lambda message: None)

    @classmethod
    def begin(cls, id: object, filename: str) -> None:
        cls.id, cls.text_left, cls.display_left = id, TEXT_LIMIT, DISPLAY_LIMIT
        cls.filenames.add(filename)

    @classmethod
    def send(cls, kind: str, **fields: object) -> None:
        cls.post(json.dumps({"type": kind, "id": cls.id, **fields}))


class Stream(io.TextIOBase):
    """sys.stdout and sys.stderr of the cells: a line goes out at once, but a flood is gathered.

    A line must appear before the long computation that follows it, and an endless loop of prints must not
    drown the page in messages. So each line uses up one of LINES_AT_ONCE, which time gives back; when none is
    left, text waits for GATHER_SECONDS.
    """

    encoding = "utf-8"

    def __init__(self, name: str):
        self.name = name
        self.pending: list[str] = []
        self.lines_free: float = LINES_AT_ONCE
        self.last_flush = 0.0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() takes a str, not {type(text).__name__}")
        if Cell.text_left <= 0:
            return len(text)
        self.pending.append(text[: Cell.text_left])
        Cell.text_left -= len(text)
        if Cell.text_left <= 0:
            self.flush()
            notice = f"\n[the output stops here: a cell may print {TEXT_LIMIT:,} characters]\n"
            Cell.send("stream", name="stderr", text=notice)
            return len(text)
        waited = time.monotonic() - self.last_flush
        if waited > GATHER_SECONDS and (len(self.pending) > 1 or text.endswith("\n")):
            self.lines_free = min(LINES_AT_ONCE, self.lines_free + waited / GATHER_SECONDS)
            self.flush()
        elif text.endswith("\n") and self.lines_free >= 1:
            self.lines_free -= 1
            self.flush()
        return len(text)

    def flush(self) -> None:
        if self.pending:
            text = "".join(self.pending)
            self.pending.clear()
            self.last_flush = time.monotonic()
            Cell.send("stream", name=self.name, text=text)


def flush_streams() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def connect(post) -> None:
    """Take over the streams, `display` and `input`; `post` gets every message as a JSON string."""
    Cell.post = staticmethod(post)
    sys.stdout, sys.stderr = Stream("stdout"), Stream("stderr")
    sys.argv = [""]
    sys.path[:] = dict.fromkeys(sys.path)  # each start of Pyodide adds the current folder
    os.environ["MPLBACKEND"] = "module://live_figures"
    vars(builtins).update(display=display, input=no_input)
    # The interpreter may come from a memory snapshot: without this every page would draw the same numbers.
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    # Files came after the snapshot. importlib.invalidate_caches would also read python_stdlib.zip again.
    for finder in sys.path_importer_cache.values():
        if isinstance(finder, importlib.machinery.FileFinder):
            finder.invalidate_caches()


def warm_up() -> None:
    """Import the package before a cell asks for it; if it cannot be imported, that cell will say why."""
    with contextlib.suppress(Exception):
        importlib.import_module("tinytorch")


def no_input(prompt: object = "") -> str:
    raise RuntimeError(
        f"input({str(prompt)!r}): a cell cannot ask for keyboard input; assign the value in the code"
    )


async def run(code: str, id: object, filename: str) -> bool:
    """Run one cell in __main__; show the value of its last expression. True when nothing was raised."""
    Cell.begin(id, filename)
    lines = code.splitlines(keepends=True)
    linecache.cache[filename] = (len(code), None, lines, filename)
    try:
        body, last = compiled(code, filename)
        for part in body:
            await evaluate(part)
        if last is not None:
            value = await evaluate(last)
            if value is not None:
                show(value, result=True)
        show_figures()
        return True
    except BaseException as error:  # sys.exit() and a recursion that is too deep must be reported, too
        show_figures(quietly=True)
        report(error)
        return False
    finally:
        flush_streams()


def compiled(code: str, filename: str) -> tuple[list[CodeType], CodeType | None]:
    """The statements of a cell, and its last expression unless a semicolon silences it."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = ast.parse(code, filename)
    last = None
    if tree.body and isinstance(final := tree.body[-1], ast.Expr) and not code.rstrip().endswith(";"):
        tree.body.pop()
        last = compile(ast.Expression(final.value), filename, "eval", flags)
    return [compile(tree, filename, "exec", flags)] if tree.body else [], last


async def evaluate(code: CodeType) -> object:
    value = eval(code, __main__.__dict__)
    return await value if code.co_flags & inspect.CO_COROUTINE else value


def display(*values: object) -> None:
    """Show each value in the cell's output, as rich as it can be."""
    for value in values:
        show(value)


def show(value: object, result: bool = False) -> None:
    data, metadata = bundle(value)
    flush_streams()
    size = sum(len(text) for text in data.values())
    if size > Cell.display_left:
        text = f"[not shown: {type(value).__name__}, because a cell may display {DISPLAY_LIMIT:,} characters]"
        data, metadata, size = {"text/plain": text}, {}, len(text)
    Cell.display_left -= size
    Cell.send("display", data=data, metadata=metadata, result=result)


def bundle(value: object) -> tuple[dict[str, str], dict]:
    """What a value can be shown as: {mime type: text}, images in base64, and their metadata."""
    if hasattr(value, "savefig") and type(value).__module__.startswith("matplotlib."):
        return figure_bundle(value)
    data: dict[str, str] = {}
    metadata: dict = {}
    if not isinstance(value, type):
        whole = getattr(value, "_repr_mimebundle_", None)
        if callable(whole):
            made = whole(include=None, exclude=None)
            data, metadata = made if isinstance(made, tuple) else (made or {}, {})
        for mime, method in RICH_METHODS.items():
            if mime not in data and callable(getattr(value, method, None)):
                data[mime] = getattr(value, method)()
    data = {mime: as_text(content) for mime, content in data.items() if content is not None}
    data.setdefault("text/plain", plain(value))
    return data, metadata


def as_text(content: object) -> str:
    if isinstance(content, bytes):
        return base64.b64encode(content).decode("ascii")
    if isinstance(content, tuple):  # a _repr_*_ method may give (content, metadata)
        return as_text(content[0])
    return content if isinstance(content, str) else json.dumps(content)


def plain(value: object) -> str:
    """repr, with long lists and dicts laid out over several lines."""
    text = repr(value)
    if type(value) in (list, tuple, dict, set) and 80 < len(text) < 20_000:
        text = pprint.pformat(value, width=80, sort_dicts=False)
    return text


def show_figures(quietly: bool = False) -> None:
    """Show and close the pyplot figures that the cell left open."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is None:
        return
    try:
        for number in pyplot.get_fignums():
            show(pyplot.figure(number))
    except Exception:
        if not quietly:
            raise
    finally:
        pyplot.close("all")


def figure_bundle(figure) -> tuple[dict[str, str], dict]:
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=figure.dpi * PIXEL_RATIO, bbox_inches="tight")
    png = image.getvalue()
    width, height = (int.from_bytes(png[at : at + 4], "big") // PIXEL_RATIO for at in (16, 20))
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(figure)
    data = {"image/png": as_text(png), "text/plain": plain(figure)}
    return data, {"image/png": {"width": width, "height": height}}


def report(error: BaseException) -> None:
    flush_streams()
    name = type(error).__name__
    message = explained(error) or str(error)
    Cell.send("error", name=name, message=message, traceback=trimmed_traceback(error))


def explained(error: BaseException) -> str | None:
    """A sentence for what happens differently in a page than in a terminal."""
    if isinstance(error, SystemExit):
        return f"the cell called sys.exit({'' if error.code is None else repr(error.code)}); the page goes on"
    if isinstance(error, MemoryError):
        return str(error) or "the page has no memory left for this; restart it, or use smaller arrays"
    if isinstance(error, asyncio.CancelledError):
        return "the cell was cancelled"
    if isinstance(error, OSError) and error.errno == errno.EIO:  # live/boot.js fetches it when it is read
        return "a module of Python's standard library could not be fetched; run the cell again to try anew"
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        if top not in sys.modules and top not in sys.stdlib_module_names:
            return f"{error.msg}: a page has numpy and tinytorch, and matplotlib once a cell imports it"
    return None


def trimmed_traceback(error: BaseException) -> str:
    """The traceback with the frames of the cells and of tinytorch alone, and short file names."""
    limit = 50 if isinstance(error, RecursionError) else None  # there may be a million frames, all the same
    whole = traceback.TracebackException.from_exception(error, limit=limit, lookup_lines=True)
    trim(whole, set())
    lines = "".join(whole.format()).rstrip().split("\n")
    if explanation := explained(error):
        lines[-1] = f"{type(error).__name__}: {explanation}"
    return "\n".join(lines)


def trim(whole: traceback.TracebackException, seen: set[int]) -> None:
    if id(whole) in seen:
        return
    seen.add(id(whole))
    kept = [frame for frame in whole.stack if ours(frame.filename)]
    for frame in kept:
        frame.filename = frame.filename.removeprefix(SITE_PACKAGES)
    whole.stack[:] = kept
    for other in (whole.__cause__, whole.__context__, *(whole.exceptions or ())):
        if other is not None:
            trim(other, seen)


def ours(filename: str) -> bool:
    return filename in Cell.filenames or filename.startswith((SITE_PACKAGES + "tinytorch/", "/home/"))

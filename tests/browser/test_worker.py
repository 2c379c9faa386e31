"""The worker behind the live cells, asked directly: what cells print, show and raise, how Python starts."""

import base64
import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

LITE = Path(__file__).parents[2] / "lite"
Message = dict[str, Any]
Ask = Callable[..., list[Message]]
Start = Callable[..., tuple[Page, list[Message]]]

# In the page: ask(request) resolves to the messages with the request's id; started to those of the start.
HARNESS = """() => {
  const worker = new Worker("/live/worker.js", { type: "module" });
  const asked = new Map();
  let count = 0;
  window.ask = (request) => new Promise((resolve) => {
    count += 1;
    asked.set(count, { messages: [], resolve });
    worker.postMessage({ id: count, ...request });
  });
  const start = [];
  return new Promise((resolve) => {
    worker.onmessage = ({ data }) => {
      const { messages, resolve: answer } = asked.get(data.id) ?? { messages: start };
      messages.push(data);
      if (data.type === "ready") resolve(start);
      if (data.type === "done") answer(messages);
      if (data.type === "failed") {
        resolve(start);
        for (const other of asked.values()) other.resolve([...other.messages, data]);
      }
    };
    worker.postMessage({ type: "init", base: new URL("/static/pyodide/", location.href).href });
  });
}"""


class Server(http.server.ThreadingHTTPServer):
    """Serves lite/; addresses with one of the words of `absent` in them are not there."""

    daemon_threads = True

    def __init__(self, absent: tuple[str, ...] = ()):
        self.absent = absent
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(LITE)))
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *args: object) -> None:
        """A browser that closes a page hangs up on what it no longer needs."""


class Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def send_head(self) -> Any:
        if any(word in self.path for word in self.server.absent):
            return self.send_error(404)
        return super().send_head()

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def start(browser: Browser) -> Iterator[Start]:
    """start(absent=()) -> a page with a new worker, and what the worker said while it started."""
    if not (LITE / "static/pyodide/live/manifest.json").exists():
        pytest.fail("lite/static/pyodide is not built: run `make html` first", pytrace=False)
    opened: list[tuple[Server, Page]] = []

    def start_(absent: tuple[str, ...] = ()) -> tuple[Page, list[Message]]:
        server = Server(absent)
        page = browser.new_page()
        page.set_default_timeout(60_000)
        opened.append((server, page))
        page.goto(f"http://localhost:{server.server_port}/package.json")
        return page, page.evaluate(HARNESS)

    yield start_
    for server, page in opened:
        page.close()
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def run(start: Start) -> Ask:
    """run(code, filename="cell 1") -> the messages of that run; one worker for all tests of this file."""
    page, _ = start()

    def run_(code: str, filename: str = "cell 1") -> list[Message]:
        return page.evaluate("request => ask(request)", {"type": "run", "code": code, "filename": filename})

    return run_


def of_type(kind: str, messages: list[Message]) -> list[Message]:
    return [message for message in messages if message["type"] == kind]


def printed(messages: list[Message], name: str = "stdout") -> str:
    return "".join(message["text"] for message in of_type("stream", messages) if message["name"] == name)


def shown(messages: list[Message]) -> list[str]:
    return [message["data"]["text/plain"] for message in of_type("display", messages)]


def error(messages: list[Message]) -> Message:
    (found,) = of_type("error", messages)
    assert messages[-1]["type"] == "done"
    assert messages[-1]["ok"] is False
    return found


def test_the_last_expression_is_shown_unless_it_is_none_or_silenced(run: Ask) -> None:
    assert shown(run("1 + 1")) == ["2"]
    assert shown(run("x = 3\nx")) == ["3"]
    assert shown(run("x = 3")) == []
    assert shown(run("3;")) == []
    assert shown(run("None")) == []
    assert shown(run("for i in range(3):\n    i")) == []
    assert shown(run("")) == []


def test_cells_share_their_names_and_may_await(run: Ask) -> None:
    run("import asyncio\nvalue = 1")
    run("await asyncio.sleep(0.01)\nvalue += 1")
    assert shown(run("value, __name__")) == ["(2, '__main__')"]


def test_numpy_and_tinytorch_are_there(run: Ask) -> None:
    assert shown(run("import numpy as np\nnp.linalg.det(np.eye(3)), np.fft.fft(np.ones(2))[0].real")) == [
        "(np.float64(1.0), np.float64(2.0))"
    ]
    assert "7." in shown(run("import tinytorch as torch\nx = torch.tensor([[1., 2.], [3., 4.]])\nx @ x"))[0]


def test_a_line_is_printed_before_the_cell_ends(run: Ask) -> None:
    first, last = of_type("stream", run("import time\nprint('first')\ntime.sleep(0.2)\nprint('last')"))
    assert (first["text"], last["text"]) == ("first\n", "last\n")


def test_errors_and_output_go_to_their_own_streams(run: Ask) -> None:
    messages = run("import sys\nprint('to you')\nprint('careful', file=sys.stderr)")
    assert printed(messages) == "to you\n"
    assert printed(messages, "stderr") == "careful\n"


def test_a_flood_of_lines_is_gathered_and_cut(run: Ask) -> None:
    messages = run("for i in range(200_000): print('line', i)")
    assert len(printed(messages)) == 1_000_000
    assert len(of_type("stream", messages)) < 500
    assert "1,000,000 characters" in printed(messages, "stderr")
    assert printed(run("print('next')")) == "next\n"


def test_a_result_too_large_to_show_is_named_instead(run: Ask) -> None:
    assert shown(run("'x' * 20_000_000")) == [
        "[not shown: str, because a cell may display 10,000,000 characters]"
    ]


def test_a_value_is_shown_in_every_form_it_has(run: Ask) -> None:
    code = """
class Rich:
    def __repr__(self): return "plain"
    def _repr_html_(self): return "<b>rich</b>"
    def _repr_png_(self): return b"png"
    def _repr_markdown_(self): return None
display(Rich(), "text")
Rich"""
    displayed, text, result = of_type("display", run(code))
    assert displayed["data"] == {
        "text/html": "<b>rich</b>",
        "image/png": base64.b64encode(b"png").decode(),
        "text/plain": "plain",
    }
    assert text["data"] == {"text/plain": "'text'"}
    assert result["data"] == {"text/plain": "<class '__main__.Rich'>"}
    assert [message["result"] for message in (displayed, text, result)] == [False, False, True]


def test_a_mime_bundle_comes_first(run: Ask) -> None:
    code = "class Graph:\n    def _repr_mimebundle_(self, include=None, exclude=None):\n"
    code += "        return {'text/vnd.mermaid': 'graph TD', 'text/plain': 'a graph'}\nGraph()"
    (display,) = of_type("display", run(code))
    assert display["data"] == {"text/vnd.mermaid": "graph TD", "text/plain": "a graph"}


def test_a_traceback_has_the_readers_lines_and_tinytorchs_alone(run: Ask) -> None:
    run("import tinytorch as torch\n\ndef product(a, b):\n    return a @ b", "cell 1")
    raised = error(run("product(torch.ones(2, 3), torch.ones(4, 5))", "cell 2"))
    assert raised["name"] == "ValueError"
    lines = raised["traceback"].splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == '  File "cell 2", line 1, in <module>'
    assert lines[2] == "    product(torch.ones(2, 3), torch.ones(4, 5))"
    assert '  File "cell 1", line 4, in product' in lines
    assert "    return a @ b" in lines
    files = {line.split('"')[1] for line in lines if line.startswith("  File ")}
    assert all(name.startswith(("cell ", "tinytorch/")) for name in files)
    assert lines[-1] == f"ValueError: {raised['message']}"


def test_a_cause_is_told_with_the_error(run: Ask) -> None:
    code = "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise ValueError('no result') from error"
    traceback = error(run(code))["traceback"]
    assert "ZeroDivisionError: division by zero\n\nThe above exception was the direct cause" in traceback
    assert traceback.endswith("ValueError: no result")


def test_a_syntax_error_points_at_the_character(run: Ask) -> None:
    raised = error(run("if True print(3)", "cell 7"))
    assert raised["name"] == "SyntaxError"
    assert raised["traceback"].splitlines() == [
        '  File "cell 7", line 1',
        "    if True print(3)",
        "            ^^^^^",
        "SyntaxError: invalid syntax",
    ]


@pytest.mark.parametrize(
    ("code", "name", "words"),
    [
        ("input('name? ')", "RuntimeError", "input('name? '): a cell cannot ask for keyboard input"),
        ("import sys; sys.exit(3)", "SystemExit", "sys.exit(3)"),
        ("def again(n): return again(n + 1)\nagain(0)", "RecursionError", "maximum recursion depth"),
        ("bytearray(2 ** 31 - 1), bytearray(2 ** 31 - 1), bytearray(2 ** 31 - 1)", "MemoryError", "memory"),
        ("import torchvision", "ModuleNotFoundError", "a page has numpy and tinytorch"),
        ("open('/nowhere')", "FileNotFoundError", "/nowhere"),
        ("class Broken:\n    def __repr__(self): return 1 / 0\nBroken()", "ZeroDivisionError", "division"),
    ],
)
def test_what_cannot_be_done_is_said_and_the_next_cell_runs(
    run: Ask, code: str, name: str, words: str
) -> None:
    raised = error(run(code))
    assert raised["name"] == name
    assert words in raised["message"]
    assert words in raised["traceback"].splitlines()[-1]
    assert shown(run("2 + 2")) == ["4"]


def test_figures_are_shown_where_they_are_finished(run: Ask) -> None:
    run("import matplotlib.pyplot as plt")
    code = "plt.figure(figsize=(4, 2))\nplt.plot([1, 2])\nplt.show()\nprint('after')"
    messages = [message for message in run(code) if message["type"] in ("display", "stream")]
    assert [message["type"] for message in messages] == ["display", "stream"]
    png = base64.b64decode(messages[0]["data"]["image/png"])
    assert png.startswith(b"\x89PNG")
    size = messages[0]["metadata"]["image/png"]
    assert 300 < size["width"] < 450
    assert int.from_bytes(png[16:20], "big") in (2 * size["width"], 2 * size["width"] + 1)
    figures = of_type("display", run("plt.hist([1, 2, 2])\nraise ValueError"))
    assert len(figures) == 1, "a figure that was drawn before an error is shown"
    assert len(of_type("display", run("fig, ax = plt.subplots()\nfig"))) == 1, (
        "and a result is not shown twice"
    )


def test_files_are_written_and_read(start: Start) -> None:
    page, _ = start()

    def ask(request: Message) -> list[Message]:
        return page.evaluate("request => ask(request)", request)

    ask({"type": "write", "path": "/home/pyodide/mine/notes.txt", "text": "größer"})
    assert shown(ask({"type": "run", "code": "open('mine/notes.txt').read()"})) == ["'größer'"]
    (file, done) = ask({"type": "read", "path": "/home/pyodide/mine/notes.txt"})
    assert (file["text"], done["ok"]) == ("größer", True)
    assert "there is no file /nothing" in error(ask({"type": "read", "path": "/nothing"}))["message"]


def test_the_start_tells_how_much_has_come(start: Start) -> None:
    _, said = start()
    downloads = [message for message in said if message.get("stage") == "download"]
    loaded = [message["loaded"] for message in downloads]
    assert loaded[0] == 0
    assert loaded == sorted(loaded)
    assert loaded[-1] <= downloads[-1]["total"]
    assert said[-1]["type"] == "ready"
    assert set(said[-1]["versions"]) == {"pyodide", "python", "numpy", "tinytorch"}
    assert not [message for message in said if "slow" in message.get("label", "")], (
        "the snapshot was not used"
    )


def test_no_two_starts_draw_the_same_numbers(start: Start) -> None:
    code = "import random\nimport numpy\nrandom.random(), numpy.random.rand()"
    drawn = [
        shown(start()[0].evaluate("request => ask(request)", {"type": "run", "code": code})) for _ in range(2)
    ]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("part", ["core", "memory", "modules", "site"])
def test_without_a_part_of_the_snapshot_python_starts_the_slow_way(start: Start, part: str) -> None:
    page, said = start(absent=(f"live/{part}-",))
    assert said[-1]["type"] == "ready"
    assert "slow" in "".join(message.get("label", "") for message in said)
    code = (
        "import numpy as np\nimport tinytorch as torch\nprint('here')\ntorch.ones(2).sum().item(), np.ones(2)"
    )
    messages = page.evaluate("request => ask(request)", {"type": "run", "code": code})
    assert printed(messages) == "here\n"
    assert shown(messages) == ["(2.0, array([1., 1.]))"]


def test_a_new_python_knows_no_names_and_nothing_of_where_it_was_made(start: Start) -> None:
    page, _ = start()
    code = "[name for name in globals() if not name.startswith('_')]"
    assert shown(page.evaluate("request => ask(request)", {"type": "run", "code": code})) == ["[]"]
    code = "import os, sys\nprint(dict(os.environ), sys.executable, sys.orig_argv, sys.path)"
    text = printed(page.evaluate("request => ask(request)", {"type": "run", "code": code}))
    assert str(LITE.parent) not in text
    assert "snapshot" not in text


def test_the_standard_library_is_fetched_when_a_cell_imports_from_it(run: Ask, start: Start) -> None:
    assert shown(run("import csv\ncsv.__name__")) == ["'csv'"]
    page, said = start(absent=("python_stdlib.zip",))
    assert said[-1]["type"] == "ready"
    assert not [message for message in said if "slow" in message.get("label", "")]
    code = "import math, random, time\nimport tinytorch as torch\ntorch.ones(2).sum().item()"
    assert shown(page.evaluate("request => ask(request)", {"type": "run", "code": code})) == ["2.0"]
    raised = error(page.evaluate("request => ask(request)", {"type": "run", "code": "import csv"}))
    assert "could not be fetched" in raised["message"]


def test_a_start_that_fails_says_which_file_is_missing(
    start: Start,
) -> None:
    _, said = start(absent=("live/manifest.json",))
    assert said[-1]["type"] == "failed"
    assert "live/manifest.json: the server answered 404" in said[-1]["message"]


def test_python_that_ends_itself_is_reported(start: Start) -> None:
    page, _ = start()
    messages = page.evaluate("request => ask(request)", {"type": "run", "code": "import os\nos._exit(3)"})
    assert messages[-1]["type"] == "failed"
    assert "exit(3)" in messages[-1]["message"]

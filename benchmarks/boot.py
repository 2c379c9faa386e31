"""Time from start to the first result in a browser: bare Pyodide with NumPy against the page's own worker.

`python -m benchmarks.boot [--rounds 5] [--page modules/01_tensor.html]` opens a headless Chromium on a server
of its own, one fresh context and so one empty cache for every start, and alternates:

- bare: Pyodide as npm ships it, `loadPyodide({packages: ["numpy"]})`, then `np.ones(3).sum()`;
- worker: lite/live/worker.js on lite/static/pyodide/, the same cell after `import tinytorch`;
- page: with --page and a built site, from the click on Start to the output of the page's first cell.

Each runs in a module worker. The medians and their ratio to bare are printed; the files come from this
machine, so this is the time the processor needs, not the network.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
from pathlib import Path

from tests.browser.chromium import find_chromium

ROOT = Path(__file__).resolve().parent.parent
LITE = ROOT / "lite"
SITE = ROOT / "_build" / "html"
TIMEOUT_MS = 60_000
PUBLISHED = ("pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json")

BARE_WORKER = """
const base = new URL("./", import.meta.url).href;
const { loadPyodide } = await import(base + "pyodide.mjs");
const pyodide = await loadPyodide({ indexURL: base, packages: ["numpy"] });
self.postMessage(pyodide.runPython("import numpy as np; str(np.ones(3).sum())"));
"""
BARE_RUN = """() => new Promise((resolve, reject) => {
  const start = performance.now();
  const worker = new Worker("/bare/worker.js", {type: "module"});
  worker.onerror = (event) => reject(new Error(event.message));
  worker.onmessage = ({data}) => {
    if (data === "3.0") resolve(performance.now() - start);
    else reject(new Error(data));
  };
})"""
WORKER_RUN = """() => new Promise((resolve, reject) => {
  const start = performance.now();
  const worker = new Worker("/lite/live/worker.js", {type: "module"});
  worker.onerror = (event) => reject(new Error(event.message));
  worker.onmessage = ({data}) => {
    if (data.type === "failed" || data.type === "error") reject(new Error(data.message));
    if (data.type !== "display") return;
    if (data.data["text/plain"].includes("3.0")) resolve(performance.now() - start);
    else reject(new Error(JSON.stringify(data)));
  };
  worker.postMessage({type: "init", base: new URL("/lite/static/pyodide/", location.href).href});
  const code = "import numpy as np\\nimport tinytorch\\nnp.ones(3).sum()";
  worker.postMessage({type: "run", id: 1, code});
})"""
PAGE_RUN = """() => new Promise((resolve) => {
  const start = performance.now();
  const cell = document.querySelector(".tt-cell");
  const output = cell.querySelector(".tt-output");
  document.querySelector('[data-tt="start"]').click();
  cell.querySelector('[data-tt="run"]').click();
  const done = () => document.documentElement.dataset.ttKernel === "ready" && output.textContent.trim();
  const timer = setInterval(() => {
    if (!done()) return;
    clearInterval(timer);
    resolve(performance.now() - start);
  }, 5);
})"""


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves several folders, each under its own prefix."""

    extensions_map = {  # noqa: RUF012 - the base class declares it so
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".js": "text/javascript",
        ".wasm": "application/wasm",
    }

    def __init__(self, *args, folders: dict[str, Path], **options):
        self.folders = folders
        super().__init__(*args, **options)

    def translate_path(self, path: str) -> str:
        prefix, _, rest = path.split("?")[0].lstrip("/").partition("/")
        return str(self.folders.get(prefix, Path("/nonexistent")) / rest)

    def log_message(self, format: str, *args: object) -> None:
        pass


class QuietServer(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None:
        """A browser that closes a page hangs up on what it no longer needs."""


def bare_folder(folder: Path) -> None:
    """Pyodide exactly as published: the npm package's files, the wheel of NumPy, the original lock file."""
    package = LITE / "node_modules" / "pyodide"
    lock = json.loads((package / "pyodide-lock.json").read_text())
    version = json.loads((package / "package.json").read_text())["version"]
    cache = Path(os.environ.get("TINYTORCH_CACHE") or ROOT / ".cache") / "runtime" / "pyodide" / version
    for name in PUBLISHED:
        shutil.copy(package / name, folder)
    shutil.copy(cache / lock["packages"]["numpy"]["file_name"], folder)
    (folder / "worker.js").write_text(BARE_WORKER)


def main() -> int:
    parser = argparse.ArgumentParser(description="Time to the first result in a browser.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page", help="a page of the built site, such as modules/01_tensor.html")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if not (LITE / "static" / "pyodide" / "live" / "manifest.json").is_file():
        sys.exit("boot: lite/static/pyodide/ is not built; run `make html` first")
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as scratch:
        bare_folder(Path(scratch))
        folders = {"bare": Path(scratch), "lite": LITE, "site": SITE}
        handler = functools.partial(QuietHandler, folders=folders)
        server = QuietServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        origin = f"http://127.0.0.1:{server.server_port}"
        starts = {"bare": ("/lite/package.json", BARE_RUN), "worker": ("/lite/package.json", WORKER_RUN)}
        if arguments.page:
            starts["page"] = (f"/site/{arguments.page}", PAGE_RUN)
        seconds: dict[str, list[float]] = {name: [] for name in starts}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=str(find_chromium()), args=["--no-sandbox"])
            for _ in range(arguments.rounds):
                for name, (url, script) in starts.items():
                    context = browser.new_context()
                    context.set_default_timeout(TIMEOUT_MS)
                    page = context.new_page()
                    page.goto(origin + url)
                    seconds[name].append(page.evaluate(script) / 1000)
                    context.close()
            version = browser.version
            browser.close()
        server.shutdown()

    medians = {name: statistics.median(times) for name, times in seconds.items()}
    print(f"Chromium {version}, {arguments.rounds} rounds, fresh context each, files from this machine")
    for name, times in seconds.items():
        spread = f"{min(times):.2f} to {max(times):.2f}"
        print(f"{name:7} {medians[name]:5.2f} s  ({spread})  {medians[name] / medians['bare']:.2f} x bare")
    if arguments.json:
        arguments.json.write_text(json.dumps({"seconds": seconds, "medians": medians}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

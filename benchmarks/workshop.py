"""How long a reader waits: `python -m benchmarks.workshop`.

From a saved file to the verdict in watch mode, in a real pseudo-terminal, and from `tito --help` to its end,
beside Python's own start. Medians of interleaved runs.
"""

import os
import pty
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tinytorch.journey import source
from tinytorch.journey.manifest import journey
from tinytorch.journey.workshop import Workshop

ROOT = Path(__file__).resolve().parents[1]
TITO = [sys.executable, str(ROOT / "tito.py")]
RIGHT = "@op\ndef relu(input):\n    return np.maximum(input, 0)\n"
VERSIONS = {"Passed in": RIGHT, "absolute value": RIGHT.replace("np.maximum(input, 0)", "np.abs(input)")}


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def started(rounds: int) -> tuple[float, float]:
    """Medians of Python's own start and of `tito --help`."""
    commands = [sys.executable, "-c", "pass"], [*TITO, "--help"]
    rows = [[seconds(command) for command in commands] for _ in range(rounds)]
    return tuple(statistics.median(column) for column in zip(*rows, strict=True))


def watched(rounds: int) -> list[float]:
    """Seconds from each save to its verdict on the screen."""
    with tempfile.TemporaryDirectory(prefix="tinytorch-watch-") as scratch:
        shop, module = Workshop.create(Path(scratch)), journey().module("activations")
        shop.start(module)
        file = shop.source_file(module)
        stub = file.read_text("utf-8")
        master, slave = pty.openpty()
        environment = {**os.environ, "TINYTORCH_WORKSPACE": scratch, "PYTHONUTF8": "1", "TERM": "xterm"}
        process = subprocess.Popen(
            TITO, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True
        )
        os.close(slave)
        try:
            until(master, "q quit")
            found = []
            for number in range(rounds):
                words, text = list(VERSIONS.items())[number % 2]
                new = source.replace(stub, {"relu": text})
                began = time.perf_counter()
                file.write_text(new, "utf-8")
                rest = until(master, words)
                found.append(time.perf_counter() - began)
                until(master, "q quit", rest)
        finally:
            process.kill()
            process.wait()
            os.close(master)
    return found


def until(terminal: int, words: str, text: str = "") -> str:
    """Read until these words are there; what came after them."""
    deadline = time.monotonic() + 60
    while words not in text:
        if not select.select([terminal], [], [], max(0.0, deadline - time.monotonic()))[0]:
            raise TimeoutError(f"{words!r} did not appear")
        text += os.read(terminal, 1 << 16).decode("utf-8", "replace")
    return text.partition(words)[2]


def main() -> None:
    python, tito = started(15)
    print(f"Python's own start {python:.3f} s, tito --help {tito:.3f} s: {tito - python:.3f} s more")
    waits = watched(21)
    middle = statistics.median(waits)
    print(f"from save to verdict {middle:.3f} s (median of {len(waits)}), at most {max(waits):.3f} s")


if __name__ == "__main__":
    main()

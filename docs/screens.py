"""Record tito in a terminal, for the book: `python docs/screens.py docs/_static/screens`.

Each screen is what the program really printed, in a pseudo-terminal of 80 or 120 columns, in a workspace that
is made for it; it is drawn as SVG with the text in it.
"""

import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from fcntl import ioctl
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tinytorch.journey import source
from tinytorch.journey.manifest import journey
from tinytorch.journey.proof import reference_source
from tinytorch.journey.workshop import Workshop

ROOT = Path(__file__).resolve().parents[1]
CLEARED = "\x1b[H\x1b[2J"
# rich's own frame loads a font from another site; this one uses the reader's.
FRAME = """\
<svg xmlns="http://www.w3.org/2000/svg" class="rich-terminal" viewBox="0 0 {width} {height}">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}"
  height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""
RELU = "@op\ndef relu(input):\n    return np.abs(input)\n"
SCENES = (
    ("watch-80", 80, (), "tito"),
    ("watch-120", 120, (), "tito"),
    ("status-80", 80, ("status",), "tito status"),
    ("status-120", 120, ("status",), "tito status"),
    ("check-80", 80, ("module", "check", "02"), "tito module check 02"),
    ("check-120", 120, ("module", "check", "02"), "tito module check 02"),
    ("checkpoint-80", 80, ("checkpoint", "status"), "tito checkpoint status"),
    ("checkpoint-120", 120, ("checkpoint", "status"), "tito checkpoint status"),
)


def workspace(folder: Path) -> None:
    """Module 01 is done; of module 02 tanh and sigmoid are, and relu is on its way."""
    shop = Workshop.create(folder)
    tensor, activations = journey().module(1), journey().module(2)
    for module in (tensor, activations):
        shop.start(module)
    solve(shop, tensor, tensor.exercises)
    shop.complete(tensor)
    solve(shop, activations, ("tanh", "sigmoid"))
    shop.check(activations)
    file = shop.source_file(activations)
    file.write_text(source.replace(file.read_text("utf-8"), {"relu": RELU}), "utf-8")


def solve(shop: Workshop, module, names) -> None:
    file = shop.source_file(module)
    file.write_text(source.fill(file.read_text("utf-8"), reference_source(module), names), "utf-8")


def record(folder: Path, columns: int, words: tuple[str, ...]) -> str:
    """What `tito WORDS` prints in a terminal of so many columns; of watch mode, the last screen."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
    unwanted = ("NO_COLOR", "COLUMNS", "LINES", "TINYTORCH_WORKSPACE")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "tito.py"), *words], cwd=folder, stdin=slave, stdout=slave, stderr=slave,
        env={**environment, "TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONUTF8": "1"},
        start_new_session=True,
    )  # fmt: skip
    os.close(slave)
    text, deadline = b"", time.monotonic() + 60
    while time.monotonic() < deadline:
        if not words and b"q quit" in text:
            os.write(master, b"q")
        if select.select([master], [], [], 0.1)[0]:
            try:
                text += os.read(master, 1 << 16)
            except OSError:  # the program is done
                break
    process.kill()
    process.wait()
    os.close(master)
    printed = text.decode("utf-8").replace("\r\n", "\n")
    return re.split(r"\x1b\[2J(?:\x1b\[H)?", printed)[-1].removeprefix("\x1b[H").rstrip()


def main() -> None:
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tinytorch-screens-") as scratch:
        folder = Path(scratch).resolve() / "tinytorch"
        folder.mkdir()
        workspace(folder)
        for name, columns, words, title in SCENES:
            printed = record(folder, columns, words).replace(str(folder), "/home/you/tinytorch")
            screen = Console(record=True, width=columns, file=open(os.devnull, "w"))  # noqa: SIM115
            screen.print(Text.from_ansi(printed + "\n"), soft_wrap=True)
            svg = screen.export_svg(title=title, theme=MONOKAI, code_format=FRAME, unique_id=name)
            (target / f"{name}.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()

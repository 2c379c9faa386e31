"""`tito` alone: a terminal that checks when you save, answers to keys, and does without a terminal."""

import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "emscripten", reason="starts processes")
pty = pytest.importorskip("pty", reason="there are no pseudo-terminals here")
ROOT = Path(__file__).resolve().parents[2]
RELU = "@op\ndef relu(input):\n    return np.maximum(input, 0)\n"
WRONG = RELU.replace("np.maximum(input, 0)", "np.abs(input)")


class Terminal:
    """tito in a terminal of 100 columns."""

    def __init__(self, folder):
        self.master, slave = pty.openpty()
        environment = {**os.environ, "TINYTORCH_WORKSPACE": str(folder), "TERM": "xterm-256color",
                       "COLUMNS": "100", "LINES": "50", "PYTHONUTF8": "1"}  # fmt: skip
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tito.py")], stdin=slave, stdout=slave, stderr=slave, env=environment,
            cwd=folder, start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        self.text = ""

    def until(self, words, seconds=20.0):
        """Read until these words are on the screen, after what was read before; how long it took."""
        began = time.monotonic()
        while words not in self.text:
            left = began + seconds - time.monotonic()
            assert left > 0, f"{words!r} did not appear in:\n{self.text[-3000:]}"
            if select.select([self.master], [], [], left)[0]:
                raw = os.read(self.master, 1 << 16).decode("utf-8", "replace")
                self.text += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw)
        self.text = self.text.partition(words)[2]
        return time.monotonic() - began

    def press(self, key):
        os.write(self.master, key.encode())

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal(reader, tmp_path):
    reader.start(2)
    opened = Terminal(tmp_path)
    opened.until("q quit")
    yield opened
    opened.close()


def test_a_save_is_checked_and_the_next_one_is_a_key_away(terminal, reader):
    reader.write(2, relu=WRONG)
    terminal.until("absolute value")
    terminal.until("q quit")
    reader.write(2, relu=RELU)
    terminal.until("Passed in")
    terminal.until("q quit")
    terminal.press("n")
    terminal.until("leaky_relu")
    assert reader.shop.progress().exercises["02_activations"]["relu"].passed


def test_hint_list_solution_and_quit(terminal):
    terminal.press("h")
    terminal.until("hint 1")
    terminal.press("l")
    terminal.until("log_softmax")
    terminal.press("s")
    terminal.until("The solution")
    terminal.press("q")
    assert terminal.process.wait(5) == 0


def test_ctrl_c_leaves_quietly(terminal):
    os.kill(terminal.process.pid, signal.SIGINT)
    assert terminal.process.wait(5) == 0
    assert "Traceback" not in terminal.text


def test_a_file_that_is_gone_for_a_moment_is_no_end(terminal, reader, tmp_path):
    file = reader.shop.source_file(reader.module(2))
    file.rename(tmp_path / "aside")
    time.sleep(0.3)
    (tmp_path / "aside").rename(file)
    reader.write(2, relu=WRONG)
    terminal.until("absolute value")


def test_the_last_exercise_leads_to_the_export_and_the_next_module(terminal, reader):
    reader.solve(2)
    terminal.until("q quit")
    reader.shop.check(reader.module(2))
    terminal.press("n")
    terminal.until("02 Activations is yours", 60)


def test_without_a_terminal_it_checks_once(tito, reader):
    reader.start(2)
    done = tito()
    assert done.returncode == 1
    assert "relu" in done.stdout
    reader.solve(2)
    reader.shop.check(reader.module(2))
    assert tito().returncode == 0

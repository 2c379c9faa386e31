"""Single keys from a terminal, without waiting for Enter."""

import contextlib
import sys
from collections.abc import Callable, Iterator

Reader = Callable[[float], str]


@contextlib.contextmanager
def keys() -> Iterator[Reader]:
    """A function that waits so many seconds for a key and returns it, or "" if none came. Ctrl-C stays an
    interrupt.
    """
    try:
        import termios
        import tty
    except ImportError:
        yield _windows
        return
    import os
    import select

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal)

    def read(seconds: float) -> str:
        ready, _, _ = select.select([terminal], [], [], seconds)
        if not ready:
            return ""
        data = os.read(terminal, 64)
        if not data:  # the terminal is gone
            raise EOFError
        return data.decode(errors="ignore")[:1]

    try:
        yield read
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _windows(seconds: float) -> str:
    import msvcrt
    import time

    deadline = time.monotonic() + seconds
    while not msvcrt.kbhit():  # type: ignore[attr-defined]
        if time.monotonic() > deadline:
            return ""
        time.sleep(0.01)
    found: str = msvcrt.getwch()  # type: ignore[attr-defined]
    return found

"""Files that are whole at every moment, and one writer at a time."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ..utils import safetensors

LONGEST_WAIT = 10.0  # seconds for another process to let go of a lock


class LockedError(RuntimeError):
    """Another process holds the workspace."""


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file, and its folder if that is not there, so that, whenever the machine stops, either the old
    or the new contents are there, whole.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.write_atomically(str(path), [data.encode("utf-8") if isinstance(data, str) else data])


def leftovers(folder: Path) -> Iterator[Path]:
    """What interrupted writes left below a folder."""
    return folder.rglob(".*.part")


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold this lock file while the block runs. The system lets go of it when the process ends, however it
    ends.

    Raises LockedError after LONGEST_WAIT seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+b") as file:
        deadline = time.monotonic() + LONGEST_WAIT
        while not _try_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise LockedError(f"another process holds {path}; end it, or try again")
            time.sleep(0.02)
        try:
            yield
        finally:
            _unlock(file.fileno())


try:
    import fcntl
except ImportError:  # Windows, and Python in the browser, where nobody else is
    try:
        import msvcrt
    except ImportError:

        def _try_lock(file: int) -> bool:
            return True

        def _unlock(file: int) -> None: ...

    else:

        def _try_lock(file: int) -> bool:
            os.lseek(file, 0, os.SEEK_SET)
            with contextlib.suppress(OSError):
                msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
                return True
            return False

        def _unlock(file: int) -> None:
            os.lseek(file, 0, os.SEEK_SET)
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]

else:

    def _try_lock(file: int) -> bool:
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        return False

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)

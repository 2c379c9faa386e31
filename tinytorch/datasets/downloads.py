"""Fetch a file whose size and SHA-256 are known, whatever happens on the way.

A download goes to NAME.part, which an interrupted run leaves for the next one to resume. Only a file that
has the right size and the right SHA-256 gets its own name, by one atomic rename, so a file with its own
name is whole. Standard library only, imported where it is used: `import tinytorch` pays nothing for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHUNK = 1 << 16  # bytes a read
PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}  # answers that a later attempt may not get


class DatasetError(Exception):
    """A data set is missing, or what lies there is not what it should be."""


class DownloadError(DatasetError):
    """A file could not be fetched or stored. The message says what came and what to do."""


@dataclass(frozen=True)
class Resource:
    """A file to download.

    name: its file name; size: bytes; sha256: lower-case hexadecimal digest;
    sources: base URLs, tried in order, each ending in a slash.
    """

    name: str
    size: int
    sha256: str
    sources: tuple[str, ...]


class _InterruptedError(Exception):
    """The transfer stopped; another attempt may go on from here."""


class _SourceError(Exception):
    """This source does not have the file; another one may."""


def cache_dir() -> Path:
    """Folder for downloads: TINYTORCH_DATA, else `tinytorch` in the user's cache folder."""
    chosen = os.environ.get("TINYTORCH_DATA")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        # The XDG specification says to ignore a relative path.
        configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
        base = configured if configured.is_absolute() else Path.home() / ".cache"
    return base / "tinytorch"


def fault_of(path: Path, resource: Resource) -> str | None:
    """What is wrong with the file at path, in words, or None when it is the resource byte for byte."""
    import hashlib

    try:
        size = path.stat().st_size
        if size != resource.size:
            return f"has {size:,} bytes instead of {resource.size:,}"
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if digest != resource.sha256:
        return f"has SHA-256 {digest[:12]}… instead of {resource.sha256[:12]}…"
    return None


def fetch(
    resource: Resource,
    folder: Path,
    *,
    download: bool = True,
    attempts: int = 4,
    backoff: float = 0.5,
    timeout: float = 30.0,
) -> Path:
    """Path of the verified resource in folder, downloaded when it is not there or damaged.

    download: False raises DatasetError instead of using the network.
    attempts: tries in a row that bring no new byte before a source is given up; backoff: seconds before
    the second try, doubled for each one after; timeout: seconds without a byte that end a try.
    Raises DownloadError when no source gives the right bytes or the folder cannot take them. What has
    arrived stays in NAME.part, and the next call goes on from there.
    """
    target = folder / resource.name
    fault = fault_of(target, resource)
    if fault is None:
        return target
    if not download:
        raise DatasetError(f"{target} {fault}. Load it with download=True to fetch it.")
    if sys.platform == "emscripten":
        raise DownloadError(
            f"{resource.name} cannot be downloaded in the browser. Install tinytorch and run this natively; "
            "load_tinydigits and load_tinytalks work here."
        )
    sources = _sources_of(resource)
    part = folder / f"{resource.name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, resource.name):
            fault = fault_of(target, resource)  # another process may have fetched it meanwhile
            if fault is None:
                return target
            if target.exists():
                tell(f"{target} {fault}: removing it and fetching it again")
                target.unlink()
            failures = []
            for source in sources:
                try:
                    _fill(part, source + resource.name, resource, attempts, backoff, timeout)
                except _SourceError as failure:
                    failures.append(f"  {source}{resource.name}: {failure}")
                    continue
                os.replace(part, target)
                return target
    except OSError as error:
        raise storage_error(error, target, resource.size) from error
    asked = "TINYTORCH_MIRROR is set, so nobody else was asked. " if sources != resource.sources else ""
    raise DownloadError(
        f"could not download {resource.name} ({megabytes(resource.size)}):\n" + "\n".join(failures) + "\n"
        f"{asked}Check the network and call again: it goes on where it stopped. Where there is no network, "
        "set TINYTORCH_MIRROR to a base URL (https://, http:// or file://) under which the file lies, or put "
        f"the file at {target}."
    )


def storage_error(error: OSError, target: Path, size: int) -> DownloadError:
    """The DownloadError for a failure of the disk or folder while target (size bytes) was being stored."""
    reason = error.strerror or str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        advice = (
            f"It takes {megabytes(size)}. Free some space, or set TINYTORCH_DATA to another folder, and "
            "call again: what has arrived is kept."
        )
    else:
        advice = "Set TINYTORCH_DATA to a folder that you can write to."
    where = f" ({error.filename})" if error.filename else ""
    return DownloadError(f"could not store {target}: {reason}{where}. {advice}")


def megabytes(count: int) -> str:
    """A byte count for people: '9.9 MB', '29 kB', '12 bytes'."""
    if count >= 1_000_000:
        return f"{count / 1e6:.1f} MB"
    return f"{count / 1e3:.0f} kB" if count >= 1000 else f"{count} bytes"


@contextlib.contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Hold folder/.NAME.lock against other processes and threads; the system lets go if this one dies."""
    waiting = f"another process is fetching {name} into {folder}: waiting for it"
    with open(folder / f".{name}.lock", "ab") as file:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)  # gives up after ten seconds
                    break
                except OSError as error:
                    if error.errno != errno.EDEADLOCK:
                        raise
                    tell(waiting)
        else:
            import fcntl

            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                tell(waiting)
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError as error:
                # Some network file systems have no locks. Two writers would then spoil each other's
                # .part, which the SHA-256 finds, so going on is safe.
                if error.errno not in {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}:
                    raise
        yield


def _sources_of(resource: Resource) -> tuple[str, ...]:
    """Base URLs to try: the mirror alone when one is set, so that nobody is asked whom you did not name."""
    from urllib.parse import urlsplit

    mirror = os.environ.get("TINYTORCH_MIRROR", "").strip()
    if not mirror:
        return resource.sources
    try:
        address = urlsplit(mirror)
        local = address.scheme == "file" and address.netloc in {"", "localhost"} and address.path != ""
        remote = address.scheme in {"https", "http"} and bool(address.hostname) and address.port != 0
    except ValueError:  # a port that is no number, brackets that do not close
        local = remote = False
    if not (local or remote) or any(character.isspace() for character in mirror):
        raise DownloadError(
            f"TINYTORCH_MIRROR is {mirror!r}. It has to be a base URL such as https://host/folder/, "
            "http://host/folder/ or file:///folder/ (a space is written %20). Unset it to use the public "
            "sources."
        )
    return (mirror.rstrip("/") + "/",)


def _fill(part: Path, url: str, resource: Resource, attempts: int, backoff: float, timeout: float) -> None:
    """Make part the verified resource from one URL, or raise _SourceError."""
    barren = 0  # attempts in a row without a new byte
    damaged = 0  # transfers from the first byte that arrived whole but wrong
    resumed = part.exists()
    while True:
        before = part.stat().st_size if part.exists() else 0
        if before < resource.size:
            try:
                _transfer(part, before, url, resource, timeout)
            except _InterruptedError as stop:
                arrived = part.stat().st_size if part.exists() else 0
                barren = 1 if arrived > before else barren + 1
                if barren >= attempts:
                    raise _SourceError(f"{stop} ({attempts} attempts)") from stop
                tell(f"{resource.name}: {stop}; trying again from byte {arrived:,}")
                time.sleep(backoff * 2 ** (barren - 1))
                continue
        fault = fault_of(part, resource)
        if fault is None:
            return
        part.unlink()
        # What an earlier run left may be to blame, so a resumed file does not count against the source.
        if not resumed:
            damaged += 1
        resumed = False
        if damaged == 2:
            raise _SourceError(f"the file {fault}, twice; it was removed")
        tell(f"{resource.name} {fault}: removing it and fetching it again")


def _transfer(part: Path, start: int, url: str, resource: Resource, timeout: float) -> None:
    """Append to part (start bytes long) what one request brings, until it has resource.size bytes."""
    with _answer(url, start, timeout) as response:
        begin, total = _extent(response)
        if total is not None and total != resource.size:
            raise _SourceError(f"offers {total:,} bytes where the file has {resource.size:,}")
        if begin != start:
            if begin != 0:
                part.unlink(missing_ok=True)
                raise _InterruptedError(f"asked for byte {start:,} on, but byte {begin:,} on came")
            start = 0  # the server ignores ranges and sends everything
        with open(part, "r+b" if start else "wb") as out, _progress(resource, start, url) as report:
            out.seek(start)
            done = start
            while done < resource.size and (chunk := _read(response, min(CHUNK, resource.size - done))):
                out.write(chunk)
                done += len(chunk)
                report(len(chunk))
            out.flush()
            os.fsync(out.fileno())
    if done < resource.size:
        raise _InterruptedError(f"the connection closed after {done:,} of {resource.size:,} bytes")


def _answer(url: str, start: int, timeout: float) -> Any:
    """The open response to a request for url from byte start on; the network's errors sorted in two."""
    import http.client
    import socket
    import ssl
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    # Without `identity` a server may compress once more, and the sizes would not be the file's.
    headers = {"User-Agent": "tinytorch", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        return urlopen(Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        with error:
            answer = f"answered {error.code} {error.reason}"
        if start:
            answer += f" to a request for byte {start:,} on"
        raise (_InterruptedError if error.code in PASSING_STATUS else _SourceError)(answer) from error
    except URLError as error:
        reason = error.reason
        if isinstance(reason, socket.gaierror):
            raise _SourceError(f"no network, or no such host ({reason.strerror})") from error
        if url.startswith("file:") or isinstance(reason, ssl.SSLCertVerificationError):
            raise _SourceError(str(reason)) from error
        raise _InterruptedError(str(reason)) from error
    except http.client.InvalidURL as error:
        raise _SourceError(str(error)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(_words(error)) from error


def _extent(response: Any) -> tuple[int, int | None]:
    """First byte of the response within the file, and the file's length if the server tells it."""
    if response.status == 206:
        # Content-Range: bytes 100-199/200
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        begin = span.partition("-")[0]
        if not begin.isdigit():
            raise _SourceError(f"answered 206 with Content-Range {response.headers.get('Content-Range')!r}")
        return int(begin), int(total) if total.isdigit() else None
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _read(response: Any, count: int) -> bytes:
    import http.client

    try:
        return response.read(count)
    except http.client.IncompleteRead as error:
        return error.partial
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(_words(error)) from error


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _progress(resource: Resource, start: int, url: str) -> Iterator[Callable[[int], None]]:
    """A function that takes the number of bytes just arrived, and shows them on stderr."""
    from urllib.parse import urlsplit

    size = megabytes(resource.size)
    origin = urlsplit(url).hostname or "this machine"
    tell(f"{resource.name}: {size} from {origin}" + (f", resumed at {megabytes(start)}" if start else ""))
    try:
        from tqdm import tqdm
    except ImportError:
        done = start
        shown = start * 10 // resource.size

        def report(count: int) -> None:
            nonlocal done, shown
            done += count
            tenth = done * 10 // resource.size
            if tenth > shown and resource.size >= 1_000_000:
                shown = tenth
                tell(f"{resource.name}: {tenth * 10} % of {size}")

        yield report
    else:
        # disable=None: no bar where stderr is a file or a log.
        with tqdm(
            total=resource.size, initial=start, unit="B", unit_scale=True, leave=False, disable=None
        ) as bar:
            yield bar.update

"""A workspace in one zip file, which `tito` and the page both read and write.

tinytorch.json            {"format": 1, "tinytorch": "0.3.0"}
progress.json
source/05_autograd/autograd.py      the reader's file
stubs/05_autograd.py                the stub it began as
package/autograd.py                 what was exported
"""

import io
import json
import zipfile
from typing import NamedTuple

from ..utils.safetensors import checked_depth
from .manifest import journey
from .progress import Progress, ProgressError

FORMAT = 1
LARGEST_FILE, LARGEST_ARCHIVE = 1 << 20, 16 << 20  # bytes, unpacked


class ArchiveError(ValueError):
    """A file that is not a workspace, or not one that may be unpacked."""


class Archive(NamedTuple):
    """files: name in the archive -> contents, without tinytorch.json and progress.json."""

    files: dict[str, str]
    progress: Progress


def allowed_names() -> set[str]:
    modules = journey().modules
    return {
        name
        for module in modules
        for name in (
            f"source/{module.name}/{module.slug}.py",
            f"stubs/{module.name}.py",
            f"package/{module.slug}.py",
        )
    }


def pack(archive: Archive, version: str) -> bytes:
    """The zip file; the same contents give the same bytes."""
    about = json.dumps({"format": FORMAT, "tinytorch": version}) + "\n"
    files = {"tinytorch.json": about, "progress.json": archive.progress.to_json(), **archive.files}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            target.writestr(entry, files[name].encode("utf-8"))
    return buffer.getvalue()


def unpack(data: bytes) -> Archive:
    """The contents of a zip file. Nothing is written anywhere.

    Raises ArchiveError for a file that is no zip or damaged, a name that a workspace does not have (so no
    path leads out of it), a name twice, too much data, text that is not UTF-8, a format that is not known,
    or no progress file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as zipped:
            files = _read(zipped)
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
    ) as error:
        raise ArchiveError(f"this is not a zip file that can be read: {error}") from None
    except Exception as error:  # zlib.error, which is not there in every Python
        if isinstance(error, ArchiveError):
            raise
        raise ArchiveError(f"this zip file is damaged: {error}") from None
    about = files.pop("tinytorch.json", None)
    if about is None:
        raise ArchiveError("this is not a TinyTorch workspace: there is no tinytorch.json in it")
    try:
        form = json.loads(checked_depth(about))["format"]
    except (ValueError, KeyError, TypeError):
        raise ArchiveError("this is not a TinyTorch workspace: tinytorch.json is damaged") from None
    if form != FORMAT:
        raise ArchiveError(f"this workspace has format {form!r}, and this TinyTorch reads format {FORMAT}")
    try:
        progress = Progress.from_json(files.pop("progress.json"))
    except KeyError:
        raise ArchiveError("this is not a whole workspace: there is no progress.json in it") from None
    except ProgressError as error:
        raise ArchiveError(str(error)) from None
    return Archive(files, progress)


def _read(zipped: zipfile.ZipFile) -> dict[str, str]:
    allowed = allowed_names() | {"tinytorch.json", "progress.json"}
    entries = [entry for entry in zipped.infolist() if not entry.is_dir()]
    files: dict[str, str] = {}
    in_all = 0
    for entry in entries:
        name = entry.filename
        if name not in allowed:
            raise ArchiveError(f"{name!r} is not a file of a workspace; nothing was taken from this archive")
        if name in files:
            raise ArchiveError(f"{name!r} is in this archive twice")
        with zipped.open(entry) as source:
            contents = source.read(LARGEST_FILE + 1)  # what the directory says of the size may be a lie
        in_all += len(contents)
        if len(contents) > LARGEST_FILE or in_all > LARGEST_ARCHIVE:
            raise ArchiveError(
                f"{name!r} is too large: {LARGEST_FILE:,} bytes a file, {LARGEST_ARCHIVE:,} in all"
            )
        try:
            files[name] = contents.decode("utf-8")
        except UnicodeDecodeError:
            raise ArchiveError(f"{name!r} is not UTF-8 text") from None
    return files

"""Checks run in a process of their own, so that no code of the reader's can hang, end or spoil the one that
asks.

`check_file` is the asking side. The other side is this file, run as a script: it reads a job from its
standard input, puts the reader's text in the place of one module of `tinytorch.core`, runs the checks, and
appends what it learns to a file of JSON lines. What has no line there did not happen.
"""

import contextlib
import importlib.abc
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinytorch.journey.checking import ExerciseResult
    from tinytorch.journey.manifest import Module

PACKAGES = Path(__file__).resolve().parents[2]  # the folder in which the package `tinytorch` is
LONGEST_CHECK = 10.0  # seconds without news from the checks after which they are stopped


@dataclass
class Limits:
    """What the checked code may use, where the system can enforce it: bytes of memory, bytes in one file.

    `fenced`: it may not write outside of its folder, start processes or open connections.
    """

    memory: int = 0
    file: int = 0
    seconds: float = 0
    fenced: bool = False


@dataclass
class Report:
    """How a module's file did. `error`: why it could not be checked at all, with the reader's lines in
    `trace`.
    """

    module: str
    path: str
    exercises: "list[ExerciseResult]" = field(default_factory=list)
    error: str = ""
    trace: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        return not self.error and all(exercise.state == "passed" for exercise in self.exercises)


def check_file(
    module: "Module",
    path: Path,
    text: str,
    workspace: Path | None,
    names: Sequence[str] | None = None,
    *,
    whole: bool = False,
    limit: float = LONGEST_CHECK,
    limits: Limits | None = None,
    folder: Path | None = None,
) -> Report:
    """Run the checks of a module on a reader's file, in another process.

    text: the file, as read from `path`; workspace: whose other modules run (None: the reference's alone).
    names: the exercises to check (all of them).
    whole: False fills what is not solved from the reference, so that each exercise is judged by itself.
    True runs the file as it stands, and imports all of tinytorch on it.
    limit: seconds without news after which an exercise is stopped; folder: the working directory.
    """
    began = time.perf_counter()
    wanted = list(module.exercises if names is None else names)
    report = Report(module.name, str(path))
    try:
        compile(text, str(path), "exec")
    except (SyntaxError, ValueError) as error:
        report.error, report.trace = _syntax(error)
        report.seconds = time.perf_counter() - began
        return report
    waiting, outcomes = list(wanted), {}
    while waiting:
        events, ended = _ask(
            {
                "module": module.slug,
                "path": str(path),
                "text": text,
                "names": waiting,
                "exercises": module.exercises,
                "whole": whole,
                "limits": asdict(limits or Limits()),
                "folder": str(folder or ""),
            },
            workspace,
            limit,
            limits.seconds if limits else 0,
            folder,
        )
        at = ("", "")
        for event in events:
            if "ended" in event:
                result = _result(event["ended"])
                outcomes[result.name] = result
            elif "began" in event:
                at = tuple(event["began"])
            elif "error" in event:
                report.error, report.trace = event["error"], tuple(event["trace"])
        waiting = [name for name in waiting if name not in outcomes]
        if report.error or any("done" in event for event in events):
            break
        if at[0] not in waiting or whole:  # it ended before, or between, the checks
            report.error = f"the file ended Python while it was imported: {ended}"
            break
        outcomes[at[0]] = _stopped(at[0], f"{ended}, in the check {at[1]!r}")
        waiting.remove(at[0])
        if limits is not None and limits.seconds:
            break
    report.exercises = [outcomes.get(name) or _stopped(name, "", "not run") for name in wanted]
    report.seconds = time.perf_counter() - began
    return report


def _syntax(error: Exception) -> tuple[str, tuple[str, ...]]:
    if not isinstance(error, SyntaxError):
        return str(error), ()
    line = (error.text or "").rstrip("\n")
    shown = line.lstrip()
    caret = " " * max(0, (error.offset or 1) - 1 - (len(line) - len(shown))) + "^"
    return f"line {error.lineno}: {error.msg}", (shown, caret) if shown else ()


def _result(record: dict[str, Any]) -> "ExerciseResult":
    from tinytorch.journey.checking import CheckResult, ExerciseResult

    checks = [CheckResult(**{**check, "notes": tuple(check["notes"]), "trace": tuple(check["trace"])})
              for check in record.pop("checks")]  # fmt: skip
    return ExerciseResult(**record, checks=checks)


def _stopped(name: str, message: str, state: Any = "stopped") -> "ExerciseResult":
    from tinytorch.journey.checking import ExerciseResult

    return ExerciseResult(name, state, message=message)


def _ask(
    job: dict[str, Any], workspace: Path | None, limit: float, in_all: float, folder: Path | None
) -> tuple[list[dict[str, Any]], str]:
    """Run the other side once: what it wrote, and in words how it ended."""
    with tempfile.TemporaryDirectory(prefix="tinytorch-", ignore_cleanup_errors=True) as scratch:
        news = Path(scratch) / "news"
        news.touch()
        environment = {**os.environ, "TINYTORCH_WORKSPACE": str(workspace) if workspace else "off"}
        process = subprocess.Popen(
            [sys.executable, "-P", "-X", "utf8", __file__, str(news)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=environment, cwd=folder or scratch, start_new_session=True,
        )  # fmt: skip
        try:
            ended = _wait(process, json.dumps(job), news, limit, in_all)
        finally:
            _end(process)
        lines = news.read_text("utf-8", errors="replace").split("\n")
    events = []
    for line in lines:
        with contextlib.suppress(ValueError):  # a line that was cut off
            events.append(json.loads(line))
    return events, ended


def _wait(process: "subprocess.Popen[bytes]", job: str, news: Path, limit: float, in_all: float) -> str:
    began = heard = time.monotonic()
    size = 0
    assert process.stdin is not None
    with contextlib.suppress(OSError), process.stdin:
        process.stdin.write(job.encode())
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            status = process.wait(0.05)
            return f"Python ended with exit status {status}"
        now = time.monotonic()
        if (grown := news.stat().st_size) != size:
            size, heard = grown, now
        if now - heard > limit:
            return f"it ran for more than {limit:g} seconds, perhaps in an endless loop"
        if in_all and now - began > in_all:
            return f"all checks together took more than {in_all:g} seconds"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End the process and whatever it started."""
    with contextlib.suppress(OSError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, 9)
        else:
            process.kill()
    process.wait()


# The other side


class Written(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module of tinytorch.core the reader's code, under the reader's path."""

    def __init__(self, name: str, path: str, code: Any):
        self.name, self.path, self.code = name, path, code

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != self.name:
            return None
        spec = importlib.util.spec_from_loader(fullname, self, origin=self.path)
        assert spec is not None
        spec.has_location = True
        return spec

    def exec_module(self, module: Any) -> None:
        exec(self.code, vars(module))


def serve(news: str) -> None:
    job = json.loads(sys.stdin.read())
    with open(news, "a", encoding="utf-8", buffering=1) as out:

        def tell(**event: Any) -> None:
            out.write(json.dumps(event) + "\n")

        try:
            _serve(job, tell)
        except BaseException as error:
            words = traceback.format_exception_only(error)[-1].strip()
            frames = traceback.extract_tb(error.__traceback__)
            own = [f"line {f.lineno}, in {f.name}: {f.line}" for f in frames if f.filename == job["path"]]
            tell(error=words, trace=own)
        out.flush()
        os._exit(0)  # threads and exit handlers that the reader's code may have started have no say


def _serve(job: dict[str, Any], tell: Callable[..., None]) -> None:
    sys.path.insert(0, str(PACKAGES))
    # `import tinytorch` runs the modules, so the reader's has to be in its place before that.
    source = _alone("source")
    name, path, text = f"tinytorch.core.{job['module']}", job["path"], job["text"]
    reference = (PACKAGES / "tinytorch" / "core" / f"{job['module']}.py").read_text("utf-8")
    filled = () if job["whole"] else job["exercises"]
    sys.meta_path.insert(0, Written(name, path, source.compiled(text, path, reference, filled)))
    _limit(Limits(**job["limits"]), job["folder"])
    module = importlib.import_module(name)
    from tinytorch.journey.checking import examine, run_checks
    from tinytorch.journey.checks import exercises_of

    if job["whole"]:
        _import_everything()
        if gone := [each for each in source.names(reference) if not _has(module, each)]:
            raise AttributeError(f"{gone[0]} is gone, and others may need it; bring it back")
    exercises = exercises_of(job["module"]).all
    chosen = [exercises[each] for each in job["names"]]

    def began(*at: str) -> None:
        tell(began=at)

    def ended(result: Any) -> None:
        record = asdict(result)
        for check in record["checks"]:
            check["signature"] = None  # compared here; not everything in it can be written
        tell(ended=record)

    if job["whole"]:
        for exercise in chosen:
            ended(run_checks(exercise, path, partial(began, exercise.name)))
    else:
        examine(chosen, module, text, reference, path, began, ended)
    tell(done=True)


def _alone(name: str) -> Any:
    """A module of this folder without its package, whose __init__ imports much more."""
    spec = importlib.util.spec_from_file_location(f"_{name}", Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _has(module: Any, name: str) -> bool:
    for part in name.split("."):
        if not hasattr(module, part):
            return False
        module = getattr(module, part)
    return True


def _import_everything() -> None:
    """All that is built on the modules: it asks them for names that no check does."""
    from tinytorch.journey.manifest import journey

    for module in journey().modules:
        if module.released:
            importlib.import_module(f"tinytorch.core.{module.slug}")
    for name in ("nn", "nn.functional", "optim", "optim.lr_scheduler", "utils.data", "autograd", "models"):
        importlib.import_module(f"tinytorch.{name}")


def _limit(limits: Limits, folder: str) -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        if limits.memory:
            resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
        if limits.file:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file, limits.file))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if limits.fenced:
        import numpy  # noqa: F401 (it loads libraries, which the fence refuses)

        sys.addaudithook(_fence(os.path.realpath(folder)))


REFUSED = (
    "os.fork", "os.forkpty", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "os.startfile", "os.kill",
    "os.killpg", "subprocess.Popen", "pty.spawn", "socket.connect", "socket.bind", "socket.sendto",
    "signal.pthread_kill", "resource.setrlimit", "resource.prlimit",
)  # fmt: skip
MOST_FILES = 50  # times that graded code may open a file to write
CHANGING = {
    "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.chmod", "os.chown", "os.link", "os.symlink",
    "os.truncate", "os.utime", "shutil.rmtree", "shutil.move", "shutil.copyfile", "os.chdir",
}  # fmt: skip


def _of_numpy(library: Any) -> bool:
    """Is this one of NumPy's own libraries? tinytorch.utils.threads asks them for their number of threads."""
    numpy = os.path.dirname(os.path.realpath(sys.modules["numpy"].__file__ or ""))
    return isinstance(library, str) and os.path.realpath(library).startswith(
        (numpy + os.sep, numpy + ".libs")
    )


def _fence(folder: str) -> Callable[[str, tuple[Any, ...]], None]:
    """A hook, which cannot be taken off again, against writing outside of a folder and against other
    processes.
    """

    def outside(path: Any) -> bool:
        if isinstance(path, bytes):
            path = os.fsdecode(path)
        if not isinstance(path, str):
            return False
        real = os.path.realpath(path)
        return real != folder and not real.startswith(folder + os.sep)

    opened = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal opened
        if event in REFUSED or (event == "ctypes.dlopen" and not _of_numpy(args[0])):
            raise PermissionError(f"{event} is not allowed while work is graded")
        if event == "open":
            path, mode, flags = args
            writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
            if writes or (mode and set(mode) & set("wax+")):
                opened += 1
                if outside(path) or opened > MOST_FILES:
                    raise PermissionError(f"writing to {path} is not allowed while work is graded")
        elif event in CHANGING and any(outside(path) for path in args[:2]):
            raise PermissionError(f"{event} outside of its folder is not allowed while work is graded")

    return hook


if __name__ == "__main__":
    serve(sys.argv[1])

"""`tito doctor`: what an installation and a workspace need, looked at one by one."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from .. import __version__
from ..journey.manifest import journey
from ..journey.progress import Progress, ProgressError
from ..journey.workshop import Workshop, WorkshopError
from ..journey.workspace import VARIABLE, WorkspaceError, find_workspace
from . import screens

Finding = tuple[str, str, str]  # state, what, how to mend it


def examine(out: Console) -> int:
    """Print what is found; the number of things that are wrong."""
    wrong = 0
    for state, what, cure in (*installation(), *workspace()):
        wrong += state == "failed"
        out.print(Text.assemble(screens.mark(out, state), " ", what), soft_wrap=True)
        if cure:
            out.print(Text(f"    {cure}", style="cyan"), soft_wrap=True)
    out.print("\nAll is well." if not wrong else f"\n{wrong} to mend.")
    return wrong


def installation() -> Iterator[Finding]:
    import numpy

    version = ".".join(map(str, sys.version_info[:3]))
    yield "passed", f"TinyTorch {__version__} in {Path(__file__).parents[1]}", ""
    yield "passed", f"Python {version}, {sys.executable}", ""
    good = int(numpy.__version__.partition(".")[0]) >= 2
    cure = "" if good else "python -m pip install 'numpy>=2'"
    yield "passed" if good else "failed", f"NumPy {numpy.__version__}", cure
    for name, use in (
        ("matplotlib", "--plot of the milestones"),
        ("tqdm", "progress bars"),
        ("numba", "a rung of module 18"),
    ):
        if importlib.util.find_spec(name) is None:
            yield "todo", f"{name} is not installed; it is only for {use}", f"python -m pip install {name}"
    encoding = sys.stdout.encoding or "unknown"
    if not encoding.lower().startswith("utf"):
        yield (
            "todo",
            f"this console writes {encoding}: signs it lacks are replaced",
            "PYTHONUTF8=1 changes that.",
        )


def workspace() -> Iterator[Finding]:
    try:
        found = find_workspace()
    except WorkspaceError as error:
        yield "failed", str(error), f"unset {VARIABLE}"
        return
    if found is None:
        yield "todo", f"no workspace above {Path.cwd()}", "tito init"
        return
    try:
        shop = Workshop(Path(found))
        progress = shop.progress()
    except (ProgressError, OSError) as error:
        yield "failed", str(error), "tito doctor --repair rebuilds it by checking all your files again."
        return
    yield "passed", f"workspace {shop.root}", ""
    if not os.access(shop.tito, os.W_OK):
        yield "failed", f"{shop.tito} cannot be written", "Change its owner or its permissions."
    yield from modules(shop, progress)
    for milestone in journey().milestones:
        if milestone.released and not any(
            (root / "milestones" / milestone.folder).is_dir()
            for root in (shop.root, Path(__file__).parents[2])
        ):
            yield "todo", "the milestone scripts are not here", "They come with a clone of TinyTorch."
            break
    environment = {**os.environ, VARIABLE: str(shop.root)}
    command = [sys.executable, "-c", "import tinytorch, tinytorch.nn, tinytorch.optim, tinytorch.models"]
    ran = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
        cwd=Path(__file__).parents[2],
    )
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or ["no message"])[-1]
        yield (
            "failed",
            f"import tinytorch fails on your modules: {last}",
            ("tito module complete XX exports it again; tito module unexport XX lets the reference run."),
        )
    else:
        yield "passed", "import tinytorch works on your modules", ""


def modules(shop: Workshop, progress: Progress) -> Iterator[Finding]:
    for module in journey().modules:
        number = f"{module.number:02}"
        package = shop.package_file(module)
        try:
            view = shop.overview(module, progress)
            if shop.source_file(module).exists():
                compile(shop.read(module), str(shop.source_file(module)), "exec")
        except (WorkshopError, SyntaxError) as error:
            yield (
                "failed",
                f"{screens.relative(shop.source_file(module))}: {error}",
                (f"Mend it, or bring the stub back: tito module reset {number}"),
            )
            continue
        if package.exists() and view.yours == 0:
            yield (
                "failed",
                f"{screens.relative(package)} is not what tito exported",
                (f"tito module complete {number} exports yours; tito module unexport {number} removes it."),
            )
        if shop.outdated(module):
            yield "todo", f"{module.label} began as an older stub", f"tito module update {number}"


def rebuild(shop: Workshop, out: Console) -> None:
    """Make the progress anew from the reader's files: what passes is solved. A damaged file is kept beside
    it.
    """
    try:
        shop.progress()
    except ProgressError:
        damaged = shop.progress_file.with_name("progress.damaged.json")
        os.replace(shop.progress_file, damaged)
        out.print(f"The damaged file is kept as {damaged}.", soft_wrap=True)
    for module in journey().modules:
        if not shop.source_file(module).exists():
            continue
        if shop.package_file(module).exists():
            report, _ = shop.complete(module)
        else:
            report = shop.check(module)
        passed = sum(result.state == "passed" for result in report.exercises)
        out.print(f"{module.label}: {passed} of {len(module.exercises)} pass")

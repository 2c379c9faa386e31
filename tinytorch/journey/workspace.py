"""The reader's own modules: where they are, and whose code runs.

A workspace is a folder with `modules/.tito/` in it. Its `modules/package/core/` comes first on the path of
`tinytorch.core`, so a reader's tensor.py runs in place of ours and everything else stays as it is.
"""

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tinytorch.journey.manifest import Module

VARIABLE = "TINYTORCH_WORKSPACE"


class WorkspaceError(RuntimeError):
    """TINYTORCH_WORKSPACE names a folder that is not a workspace."""


class Running(NamedTuple):
    """One module as this process runs it: from which file, whether that is the reader's, and whether all of
    it is; in a module that was exported in part the reference's functions stand in for the others.
    """

    module: "Module"
    path: str
    yours: bool
    whole: bool = True

    @property
    def owner(self) -> str:
        """ "yours", "partly yours" or "reference"."""
        return ("yours" if self.whole else "partly yours") if self.yours else "reference"


def find_workspace() -> str | None:
    """The reader's workspace, or None where there is none.

    TINYTORCH_WORKSPACE names it, or is "off". Without it, the workspace is the nearest folder with
    `modules/.tito/` in it, going up from the working directory. Raises WorkspaceError if the variable names a
    folder that has none.
    """
    named = os.environ.get(VARIABLE, "")
    if named == "off":
        return None
    if named:
        if not _is_workspace(named):
            raise WorkspaceError(
                f"{VARIABLE} is {named!r}, but that folder has no modules/.tito/ in it. "
                f'Set it to your workspace, to "off" for the reference modules, or unset it.'
            )
        return os.path.abspath(named)
    try:
        folder = os.getcwd()
    except OSError:  # the working directory was deleted
        return None
    while not _is_workspace(folder):
        parent = os.path.dirname(folder)
        if parent == folder:
            return None
        folder = parent
    return folder


def _is_workspace(folder: str) -> bool:
    return os.path.isdir(os.path.join(folder, "modules", ".tito"))


def core_path(reference: list[str]) -> list[str]:
    """The path of `tinytorch.core`: the reader's modules before those of the reference."""
    workspace = find_workspace()
    return [os.path.join(workspace, "modules", "package", "core"), *reference] if workspace else reference


def running_modules() -> tuple[Running, ...]:
    """For every released module, the file that `import tinytorch.core.…` runs, in journey order."""
    import importlib.util

    import tinytorch.core
    from tinytorch.journey.manifest import journey

    # The overlay as it was when tinytorch.core was imported: the working directory may have changed since.
    reference = os.path.dirname(str(tinytorch.core.__file__))
    partly = _exported_in_part(tinytorch.core.__path__[0])
    found = []
    for module in journey().modules:
        if not module.released:
            continue
        name = f"tinytorch.core.{module.slug}"
        loaded = sys.modules.get(name)
        spec = loaded.__spec__ if loaded else importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"{module.label} is released, but there is no {name}", name=name)
        yours = os.path.dirname(spec.origin) != reference
        found.append(Running(module, spec.origin, yours, not (yours and module.name in partly)))
    return tuple(found)


def _exported_in_part(package: str) -> set[str]:
    """The modules of which the progress beside a reader's package says that not all is theirs."""
    import json

    modules = os.path.dirname(os.path.dirname(package))
    try:
        with open(os.path.join(modules, ".tito", "progress.json"), encoding="utf-8") as file:
            return {name for name, export in json.load(file)["modules"].items() if not export["complete"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def whose_code() -> str:
    """One or two lines for people that say whose modules run."""
    running = running_modules()
    yours = [
        entry.module.label + (" (in part)" if not entry.whole else "") for entry in running if entry.yours
    ]
    reference = [entry.module.label for entry in running if not entry.yours]
    if not yours:
        return f"modules: the reference, {reference[0]} to {reference[-1]}"
    lines = [f"your modules: {', '.join(yours)}"]
    if reference:
        lines.append(f"the reference: {', '.join(reference)}")
    return "\n".join(lines)

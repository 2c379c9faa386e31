"""Milestones at the command line: what is open, and running one on the reader's modules."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..journey.manifest import Milestone, journey
from ..journey.runner import PACKAGES
from ..journey.workshop import Workshop, WorkshopError
from ..journey.workspace import VARIABLE
from . import screens
from .checkpoints import proof_of, receipt_in_words


def scripts_folder(shop: Workshop, milestone: Milestone) -> Path:
    """Where the milestone's scripts are: they come with a clone, not with the installed package."""
    for root in (shop.root, PACKAGES):
        if (root / "milestones" / milestone.folder).is_dir():
            return root / "milestones" / milestone.folder
    raise WorkshopError(
        f"The scripts of {milestone.label} are not here. They come with a clone of TinyTorch: "
        "put your workspace into one, or run `tito` from it."
    )


def table(out: Console, shop: Workshop) -> Table:
    progress = shop.progress()
    found = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "milestone", "year", "requires", "reached"):
        found.add_column(column)
    for milestone in journey().milestones:
        proof = proof_of(milestone, progress)
        missing = shop.missing_for(milestone)
        if proof:
            state, words = "passed", Text("; ".join(map(receipt_in_words, proof)), style="green")
        elif not milestone.released:
            state, words = "not run", Text("not in this release", style="dim")
        elif missing:
            state, words = "todo", Text(f"{len(missing)} modules to go", style="dim")
        else:
            state, words = "todo", Text("open", style="cyan")
        required = screens.spans([module.number for module in journey().required(milestone)])
        found.add_row(screens.mark(out, state), milestone.label, str(milestone.year), required, words)
    return found


def run_milestone(
    shop: Workshop, out: Console, number: int, mixed: bool, script: str | None, options: tuple[str, ...]
) -> int:
    """Run the scripts that prove a milestone, or one that is named, and write down each receipt.

    The exit status is that of the first script that does not pass.
    """
    milestone = journey().milestone(number)
    if not milestone.released:
        raise WorkshopError(f"{milestone.label} is not in this release.")
    folder = scripts_folder(shop, milestone)
    missing = shop.missing_for(milestone)
    if missing and not mixed:
        out.print(f"{milestone.label} runs on your own modules. Still to complete:")
        for module in missing:
            view = shop.overview(module)
            out.print(f"  {module.label:<22} {len(view.solved)} of {len(module.exercises)} exercises solved")
        out.print("`--mixed` runs it now, with the reference in their place.")
        return 1
    for name in chosen(milestone, folder, script):
        status = _run(shop, out, milestone, folder / name, options)
        if status:
            return status
    return 0


def chosen(milestone: Milestone, folder: Path, script: str | None) -> tuple[str, ...]:
    if script is None:
        return milestone.proves
    known = {name.removesuffix(".py"): name for name in (*milestone.proves, *milestone.also)}
    found = known.get(script.removesuffix(".py"))
    if found is None:
        raise WorkshopError(f"{milestone.label} has no script {script!r}. It has {', '.join(known)}.")
    return (found,)


def _run(shop: Workshop, out: Console, milestone: Milestone, script: Path, options: tuple[str, ...]) -> int:
    environment = {**os.environ, VARIABLE: str(shop.root)}
    with tempfile.TemporaryDirectory(prefix="tito-") as scratch:
        receipt = Path(scratch) / "receipt.json"
        if "--json" in options[:-1]:
            receipt, extra = Path(options[options.index("--json") + 1]), []
        else:
            extra = ["--json", str(receipt)]
        try:
            status = subprocess.run(
                [sys.executable, str(script), *options, *extra], env=environment
            ).returncode
        except KeyboardInterrupt:
            return 130
        try:
            found = json.loads(receipt.read_text("utf-8"))
        except (OSError, ValueError):
            return status
    if not isinstance(found, dict):
        return status
    if "--reference" not in options:
        with shop.changing() as progress:
            progress.add_receipt(milestone.number, found)
            noted = progress.milestones[str(milestone.number)][-1]
        if status == 0:
            out.print(
                f"{milestone.label}: passed. {receipt_in_words(noted)}", style="bold green", soft_wrap=True
            )
    return status

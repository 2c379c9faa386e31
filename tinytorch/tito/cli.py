"""The commands of `tito`. Each finds the workspace, asks tinytorch.journey to do the work, and shows the
answer.

Exit status: 0 it worked, 1 a check, a bar or a test was missed, 2 it could not be done, 130 it was
interrupted.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.text import Text

from .. import __version__
from ..journey.checks import exercises_of
from ..journey.files import LockedError
from ..journey.manifest import Module, Track, journey
from ..journey.manifest import Path as LearningPath
from ..journey.progress import ProgressError
from ..journey.runner import LONGEST_CHECK
from ..journey.workshop import Workshop, WorkshopError
from ..journey.workspace import WorkspaceError
from . import screens

FAILED, IMPOSSIBLE, INTERRUPTED = 1, 2, 130


def run() -> NoReturn:
    """The entry point: commands, with errors as one line."""
    out = screens.console()
    try:
        status = tito.main(prog_name="tito", standalone_mode=False)
    except click.exceptions.Abort:
        raise SystemExit(INTERRUPTED) from None
    except click.ClickException as error:
        error.show()
        raise SystemExit(error.exit_code) from None
    except KeyboardInterrupt:
        out.print()
        raise SystemExit(INTERRUPTED) from None
    except (WorkshopError, WorkspaceError, ProgressError, LockedError) as error:
        click.echo(f"tito: {error}", err=True)
        raise SystemExit(IMPOSSIBLE) from None
    except BrokenPipeError:  # the reader of a pipe has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as error:
        click.echo(f"tito: {error}", err=True)
        raise SystemExit(IMPOSSIBLE) from None
    raise SystemExit(status or 0)


class ModuleNumber(click.ParamType):
    """A module by its number, slug or name."""

    name = "module"

    def convert(self, value: Any, param: Any, ctx: Any) -> Module:
        if isinstance(value, Module):
            return value
        try:
            return journey().module(int(value) if value.isdecimal() else value.lower())
        except KeyError:
            numbers = f"01 to {len(journey().modules):02}"
            self.fail(f"{value!r} is not a module. Give a number from {numbers}, or a name such as autograd.")

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        found = journey().modules
        return [
            CompletionItem(f"{module.number:02}", help=module.title)
            for module in found
            if f"{module.number:02}".startswith(incomplete) or module.slug.startswith(incomplete)
        ]


MODULE = ModuleNumber()


class Group(click.Group):
    """Commands in the order in which they stand here."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def example(*lines: str) -> str:
    """The end of a command's help."""
    return "\b\nExample:\n" + "\n".join(f"  $ {line}" for line in lines)


@click.group(cls=Group, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]},
             epilog=example("tito init", "tito", "tito module complete 01"))  # fmt: skip
@click.version_option(__version__, message="tito of TinyTorch %(version)s")
@click.pass_context
def tito(context: click.Context) -> int:
    """Build the framework, module by module.

    Without a command: watch the current exercise and check it again each time you save.
    """
    if context.invoked_subcommand is not None:
        return 0
    from .watch import watch

    return watch(Workshop.find())


@tito.command(epilog=example("tito init", "tito init ~/torch"))
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=".")
def init(folder: Path) -> None:
    """Make FOLDER (this one) a workspace, and start module 01."""
    shop = Workshop.create(folder)
    module = shop.current()
    if not shop.source_file(module).exists():
        shop.start(module)
    out = screens.console()
    out.print(f"Your workspace is {screens.relative(shop.modules)}. You write in", soft_wrap=True)
    out.print(f"  {screens.relative(shop.source_file(module))}", soft_wrap=True)
    out.print("`tito` watches it and checks each time you save.")


@tito.command(epilog=example("tito status", "tito status --json"))
@click.option("--json", "as_json", is_flag=True, help="Print it for programs.")
def status(as_json: bool) -> None:
    """Show, module by module, what is solved and whose code runs."""
    shop, out = Workshop.find(), screens.console()
    progress = shop.progress()
    views = [shop.overview(module, progress) for module in journey().modules]
    if as_json:
        table = {
            view.module.name: {
                "standing": view.standing,
                "solved": list(view.solved),
                "exercises": list(view.module.exercises),
                "yours": view.yours,
                "runs": str(shop.package_file(view.module)) if view.yours else "reference",
            }
            for view in views
        }
        click.echo(
            json.dumps({"workspace": str(shop.root), "current": progress.current, "modules": table}, indent=1)
        )
        return
    path, track = shop.track(progress)
    named = path.title if len(path.tracks) == 1 else f"{path.title}, {track.title}"
    solved = sum(len(view.solved) for view in views)
    in_all = sum(len(view.module.exercises) for view in views)
    out.print(f"workspace  {shop.root}", soft_wrap=True)
    out.print(f"path       {named}")
    out.print(Text.assemble("exercises  ", screens.progress_bar(out, solved, in_all)), end="\n\n")
    out.print(screens.module_table(views, progress.current, track.modules))
    outdated = [view.module for view in views if shop.outdated(view.module)]
    if outdated:
        names = ", ".join(module.label for module in outdated)
        out.print(f"\nThis TinyTorch has newer stubs for {names}: tito module update NUMBER")


# Modules


@tito.group(cls=Group, epilog=example("tito module start 05", "tito module complete 05"))
def module() -> None:
    """Start, check, export and reset modules."""


limit_option = click.option(
    "--limit", type=click.FloatRange(min=0.1), default=LONGEST_CHECK, show_default=True, metavar="SECONDS",
    help="Stop an exercise after this long without an answer.",
)  # fmt: skip


@module.command("list", epilog=example("tito module list", "tito module list 05"))
@click.argument("which", metavar="[XX]", type=MODULE, required=False)
def module_list(which: Module | None) -> None:
    """List the modules, or the exercises of module XX."""
    shop, out = Workshop.find(), screens.console()
    progress = shop.progress()
    if which is None:
        _, track = shop.track(progress)
        views = [shop.overview(each, progress) for each in journey().modules]
        out.print(screens.module_table(views, progress.current, track.modules))
        return
    out.print(f"{which.label}: {which.builds}")
    out.print(screens.exercise_table(out, which, shop.overview(which, progress), shop.next_exercise(which)))


@module.command("start", epilog=example("tito module start 05"))
@click.argument("which", metavar="XX", type=MODULE)
def module_start(which: Module) -> None:
    """Make the file of module XX, with the exercises' bodies taken out. A file that is there stays."""
    shop, out = Workshop.find(), screens.console()
    made = shop.start(which)
    out.print(f"{which.label}: {which.builds}")
    out.print(
        f"{'made' if made else 'already there:'} {screens.relative(shop.source_file(which))}", soft_wrap=True
    )
    earlier = [journey().module(number) for number in which.needs]
    stand_ins = [each.label for each in earlier if not shop.overview(each).yours]
    if stand_ins:
        out.print(f"The reference stands in for {', '.join(stand_ins)}.")


@module.command("check", epilog=example("tito module check 05", "tito module check 05 unbroadcast"))
@click.argument("which", metavar="XX", type=MODULE)
@click.argument("exercises", metavar="[EXERCISE]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Name every check, also those that pass.")
@limit_option
def module_check(which: Module, exercises: tuple[str, ...], every: bool, limit: float) -> int:
    """Check your file of module XX, or only some exercises of it. Nothing is exported."""
    shop, out = Workshop.find(), screens.console()
    chosen = [known_exercise(which, name) for name in exercises] or None
    found = shop.check(which, chosen, limit)
    out.print(screens.report(out, found, every or chosen is not None))
    return 0 if found.passed else FAILED


@module.command("complete", epilog=example("tito module complete 05", "tito module complete 05 --partial"))
@click.argument("which", metavar="XX", type=MODULE)
@click.option("--partial", is_flag=True, help="Export what passes; the reference stands in for the rest.")
@limit_option
def module_complete(which: Module, partial: bool, limit: float) -> int:
    """Check your file of module XX and export it: from then on the framework runs on it.

    If anything fails, what was exported before stays, and so does your progress.
    """
    shop, out = Workshop.find(), screens.console()
    found, exported = shop.complete(which, partial, limit)
    out.print(screens.report(out, found))
    if exported is None:
        passed = sum(result.state == "passed" for result in found.exercises)
        left = (
            f"{passed} of {len(which.exercises)} exercises pass"
            if not found.error
            else "the file does not run"
        )
        out.print(f"\n{which.label} is not exported: {left}.", style="red")
        return FAILED
    out.print(
        f"\n{which.label} is yours. Exported to {screens.relative(exported)}.", style="green", soft_wrap=True
    )
    if found.passed:
        following = shop.current()
        for milestone in journey().milestones:
            if milestone.unlocked_after == which.number and not shop.missing_for(milestone):
                out.print(f"{milestone.label} is open: tito milestone run {milestone.number:02}")
        if following != which:
            out.print(f"Next: {following.label}. `tito` goes on with it.")
    return 0


@module.command("reset", epilog=example("tito module reset 05 unbroadcast", "tito module reset 05 --yes"))
@click.argument("which", metavar="XX", type=MODULE)
@click.argument("exercise", metavar="[EXERCISE]", required=False)
@click.option("--yes", is_flag=True, help="Do not ask.")
def module_reset(which: Module, exercise: str | None, yes: bool) -> None:
    """Bring back the stub of module XX, or of one exercise. A copy of your file is kept."""
    shop, out = Workshop.find(), screens.console()
    exercise = known_exercise(which, exercise) if exercise else None
    what = exercise or f"all of {which.label}"
    if not yes and not sys.stdin.isatty():
        raise WorkshopError(f"This takes your version of {what} out of the file. Say --yes to do it.")
    if not yes:
        click.confirm(
            f"Take your version of {what} out of {screens.relative(shop.source_file(which))}?", abort=True
        )
    kept = shop.reset(which, exercise)
    out.print(f"{what} is a stub again. Your version is in {screens.relative(kept)}.", soft_wrap=True)


@module.command("update", epilog=example("tito module update 05"))
@click.argument("which", metavar="XX", type=MODULE)
def module_update(which: Module) -> int:
    """Bring your file up to this TinyTorch's stub. Your functions stay; conflicts are named."""
    shop, out = Workshop.find(), screens.console()
    merged = shop.update(which)
    if merged is None:
        out.print(f"{which.label} is up to date.")
        return 0
    out.print(
        f"{screens.relative(shop.source_file(which))} is up to date now; a copy is kept.", soft_wrap=True
    )
    for name in merged.conflicts:
        out.print(
            f"conflict: {name} changed in TinyTorch, too. Yours stays; `tito solution` shows theirs.",
            style="yellow",
        )
    return FAILED if merged.conflicts else 0


@module.command("unexport", epilog=example("tito module unexport 05"))
@click.argument("which", metavar="XX", type=MODULE)
def module_unexport(which: Module) -> None:
    """Let the reference run in the place of your module XX. Your file stays."""
    shop, out = Workshop.find(), screens.console()
    if shop.remove_export(which):
        out.print(f"{which.label} runs on the reference again.")
    else:
        out.print(f"{which.label} was not exported.")


def known_exercise(module: Module, name: str) -> str:
    """The exercise of a module whose qualified name, or whose last part, is `name`."""
    matching = [each for each in module.exercises if name in (each, each.rpartition(".")[2])]
    if name in module.exercises:
        return name
    if len(matching) == 1:
        return matching[0]
    raise WorkshopError(
        f"{module.label} has no exercise {name!r}. It has {', '.join(module.exercises)}."
        if not matching
        else f"{name!r} can be {' or '.join(matching)}."
    )


# Hints and solutions


def the_exercise(shop: Workshop, name: str | None) -> tuple[Module, str]:
    """The exercise that was named, or the current one."""
    if name is None:
        module = shop.current()
        found = shop.next_exercise(module) or module.exercises[-1]
        return module, found
    current = shop.current()
    others = [current, *(each for each in journey().modules if each != current)]
    for module in others:
        if name in module.exercises:
            return module, name
    return current, known_exercise(current, name)


@tito.command(epilog=example("tito hint", "tito hint unbroadcast"))
@click.argument("exercise", metavar="[EXERCISE]", required=False)
def hint(exercise: str | None) -> None:
    """Show what an exercise asks and one more hint each time."""
    shop, out = Workshop.find(), screens.console()
    module, name = the_exercise(shop, exercise)
    found = exercises_of(module.slug).all[name]
    with shop.changing() as progress:
        attempt = progress.attempt(module.name, name)
        attempt.hints = min(attempt.hints + 1, len(found.hints))
        shown = attempt.hints
    out.print(f"{module.label}: {name}", style="bold")
    out.print(screens.prompt(found, shown))
    if shown == len(found.hints):
        out.print("That was the last hint.", style="dim")


@tito.command(epilog=example("tito solution", "tito solution unbroadcast --reveal"))
@click.argument("exercise", metavar="[EXERCISE]", required=False)
@click.option("--reveal", is_flag=True, help="Show it although the exercise is not solved yet.")
def solution(exercise: str | None, reveal: bool) -> int:
    """Show the reference's solution of an exercise that you have solved."""
    from ..journey import source
    from ..journey.proof import reference_source

    shop, out = Workshop.find(), screens.console()
    module, name = the_exercise(shop, exercise)
    attempt = shop.progress().exercises.get(module.name, {}).get(name)
    if not reveal and not (attempt and attempt.passed):
        out.print(
            f"{name} is not solved yet. `tito hint {name}` helps; --reveal shows the solution all the same."
        )
        return FAILED
    if reveal and not (attempt and (attempt.passed or attempt.revealed)):
        with shop.changing() as progress:
            progress.attempt(module.name, name).revealed = True
    text = source.function(reference_source(module), name)
    if out.is_terminal:
        from rich.syntax import Syntax

        out.print(Syntax(text.rstrip(), "python", theme="ansi_dark", background_color="default"))
    else:
        click.echo(text.rstrip())
    return 0


# Capabilities, paths, milestones


@tito.group(cls=Group, epilog=example("tito checkpoint status"))
def checkpoint() -> None:
    """What you can do by now."""


@checkpoint.command("status", epilog=example("tito checkpoint status"))
def checkpoint_status() -> None:
    """Show the capability levels, and what proved each."""
    from .checkpoints import levels

    shop, out = Workshop.find(), screens.console()
    out.print(levels(out, shop))


@tito.group(cls=Group, epilog=example("tito path list", "tito path choose vision"))
def path() -> None:
    """Learning paths: the order in which tito leads you."""


def learning_paths() -> list[tuple[str, LearningPath, Track]]:
    """Every path by the word that chooses it."""
    return [
        ((track.title if len(found.tracks) > 1 else found.title).lower().replace(" ", "-"), found, track)
        for found in journey().paths
        for track in found.tracks
    ]


@path.command("list", epilog=example("tito path list"))
def path_list() -> None:
    """List the paths and say which one you follow."""
    shop, out = Workshop.find(), screens.console()
    chosen = shop.track()
    for name, found, track in learning_paths():
        here = ">" if (found, track) == chosen else " "
        numbers = " ".join(f"{number:02}" for number in track.modules)
        out.print(f"{here} {name:<17} {found.duration}; ends with {found.ends}", soft_wrap=True)
        out.print(f"  {'':<17} {numbers}", style="dim", soft_wrap=True)


@path.command("choose", epilog=example("tito path choose fast-track", "tito path choose language"))
@click.argument("name", type=click.Choice([name for name, _, _ in learning_paths()], case_sensitive=False))
def path_choose(name: str) -> None:
    """Follow a path. Modules that it leaves out run on the reference."""
    shop, out = Workshop.find(), screens.console()
    found, track = next((path, track) for word, path, track in learning_paths() if word == name)
    going_on = shop.choose_path(found, track)
    if not shop.source_file(going_on).exists():
        shop.start(going_on)
    skipped = [each.label for each in journey().modules if each.number not in track.modules]
    out.print(f"You follow {name}: {found.duration}, ends with {found.ends}.")
    if skipped:
        out.print(f"The reference stands in for {', '.join(skipped)}.")
    out.print(f"Next: {going_on.label}.")


@tito.group(cls=Group, epilog=example("tito milestone list", "tito milestone run 03"))
def milestone() -> None:
    """The six milestones, on your code."""


@milestone.command("list", epilog=example("tito milestone list"))
def milestone_list() -> None:
    """List the milestones, what each requires, and what you reached."""
    from .milestones import table

    shop, out = Workshop.find(), screens.console()
    out.print(table(out, shop))


@milestone.command(
    "run",
    context_settings={"ignore_unknown_options": True},
    epilog=example("tito milestone run 03", "tito milestone run 03 --mixed -- --seed 1"),
)
@click.argument("number", metavar="XX", type=click.IntRange(1, len(journey().milestones)))
@click.option(
    "--mixed", is_flag=True, help="Run with the modules you have; the reference stands in for the rest."
)
@click.option("--script", metavar="NAME", help="Another script of the milestone, such as tinydigits.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def milestone_run(number: int, mixed: bool, script: str | None, options: tuple[str, ...]) -> int:
    """Run milestone XX on your modules and keep its receipt. OPTIONS after -- go to the script."""
    from .milestones import run_milestone

    return run_milestone(Workshop.find(), screens.console(), number, mixed, script, options)


@tito.group(cls=Group, epilog=example("tito competition enter", "tito competition board"))
def competition() -> None:
    """Module 20's competition: enter your bundles, see the boards."""


@competition.command(
    "enter",
    context_settings={"ignore_unknown_options": True},
    epilog=example("tito competition enter", "tito competition enter --mixed -- --models mnist"),
)
@click.option("--mixed", is_flag=True, help="Enter with the modules you have, the reference for the rest.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def competition_enter(mixed: bool, options: tuple[str, ...]) -> int:
    """Measure the bundles of milestone 06, let the verifier measure them again, and rank them."""
    from .milestones import run_milestone

    return run_milestone(Workshop.find(), screens.console(), 6, mixed, "submit", options)


@competition.command("board", epilog=example("tito competition board", "tito competition board shared/"))
@click.argument(
    "folder", type=click.Path(exists=True, file_okay=False, path_type=Path), default="bundles/leaderboard"
)
def competition_board(folder: Path) -> None:
    """Show the leaderboards below FOLDER (bundles/leaderboard), by what the verifier measured."""
    from .competition import boards

    boards(screens.console(), folder)


# Carrying it elsewhere


@tito.command("export", epilog=example("tito export my-tinytorch.zip"))
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def export(file: Path, force: bool) -> None:
    """Put the whole workspace, your code and your progress, into one zip file."""
    shop, out = Workshop.find(), screens.console()
    if file.exists() and not force:
        raise WorkshopError(f"{file} is there already. Say --force to replace it.")
    shop.export_zip(file)
    out.print(f"Wrote {file} ({file.stat().st_size:,} bytes).", soft_wrap=True)


@tito.command("import", epilog=example("tito import my-tinytorch.zip"))
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
def import_(file: Path) -> None:
    """Take over the modules and progress of an exported workspace, from tito or from the page."""
    shop, out = Workshop.find(), screens.console()
    found = shop.import_zip(file)
    count = sum(name.startswith("source/") for name in found.files)
    out.print(f"Took over {count} modules from {file}.", soft_wrap=True)
    out.print(f"What was there before is kept in {screens.relative(shop.tito / 'backups')}.", soft_wrap=True)


# Care


@tito.command(epilog=example("tito doctor", "tito doctor --repair"))
@click.option("--repair", is_flag=True, help="Check all your files again and rebuild the progress from them.")
def doctor(repair: bool) -> int:
    """Say what is wrong with this installation and workspace, and how to mend it."""
    from .doctor import examine, rebuild

    out = screens.console()
    if repair:
        rebuild(Workshop.find(), out)
    return FAILED if examine(out) else 0


@tito.command(
    epilog=example(
        "tito completion bash >> ~/.bashrc", "tito completion fish > ~/.config/fish/completions/tito.fish"
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the lines that teach your shell to complete tito's commands."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(tito, {}, "tito", "_TITO_COMPLETE").source())


@tito.command(epilog=example("tito grade submissions/ --csv > grades.csv"))
@click.argument("submissions", type=click.Path(exists=True, path_type=Path))
@click.option("--csv", "as_csv", is_flag=True, help="One line for each exercise of each submission.")
@click.option(
    "--seconds", type=click.FloatRange(min=1), default=120, show_default=True, help="For one module."
)
@click.option("--memory", type=click.IntRange(min=256), default=2048, show_default=True, help="Megabytes.")
@click.option(
    "--module", "modules", type=MODULE, multiple=True, metavar="XX", help="Only this one (may be repeated)."
)
def grade(submissions: Path, as_csv: bool, seconds: float, memory: int, modules: tuple[Module, ...]) -> int:
    """For teachers: check many exported workspaces, each in processes of its own.

    SUBMISSIONS is a folder of zip files that `tito export` or the page wrote.
    """
    from .grades import grade_all

    return grade_all(submissions, screens.console(), as_csv, seconds, memory << 20, modules)


@tito.group(cls=Group, epilog=example("tito dev check"))
def dev() -> None:
    """For whoever writes exercises."""


@dev.command("check", epilog=example("tito dev check", "tito dev check 05"))
@click.argument("which", metavar="[XX]...", type=MODULE, nargs=-1)
def dev_check(which: tuple[Module, ...]) -> int:
    """Prove the exercises: the reference passes, stubs fail, each known mistake gets its own diagnosis."""
    from ..journey.proof import problems

    out, wrong = screens.console(), 0
    for each in which or [module for module in journey().modules if module.released]:
        found = list(problems(each))
        wrong += len(found)
        out.print(
            screens.mark(out, "failed" if found else "passed"),
            f"{each.label}: {len(each.exercises)} exercises",
        )
        for problem in found:
            out.print(f"    {problem}", soft_wrap=True)
    return FAILED if wrong else 0

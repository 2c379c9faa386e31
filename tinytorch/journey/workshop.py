"""What a reader does with a workspace: start a module, check it, export it, reset it, carry it elsewhere.

    modules/source/05_autograd/autograd.py   the reader's file, made from a stub, edited by the reader alone
    modules/package/core/autograd.py         what `import tinytorch.core.autograd` runs: exported, it passed
    modules/.tito/progress.json              what was reached
    modules/.tito/stubs/05_autograd.py       the stub that the reader's file began as, for merging a newer one
    modules/.tito/backups/                   what a reset, an update or an import replaced

Every file is written whole or not at all, and only after all that could fail. Errors are WorkshopError, for
people.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from . import archive, source
from .files import leftovers, locked, write_atomically
from .manifest import Milestone, Module, Track, journey
from .manifest import Path as LearningPath
from .progress import Exported, Progress, ProgressError, now
from .runner import LONGEST_CHECK, Report, check_file
from .workspace import VARIABLE, find_workspace

Standing = Literal["not started", "in progress", "ready", "complete", "changed"]
LARGEST_SOURCE = 1 << 20  # bytes


class WorkshopError(RuntimeError):
    """Something that the reader asked for cannot be done; the message says what to do."""


@dataclass(frozen=True)
class Overview:
    """One module as it stands. solved: exercises whose function is the one that passed; written: no longer
    stubs.

    standing: "ready" when all are solved but not exported, "changed" when the file is not the one exported.
    yours: how many exercises of the exported file are the reader's.
    """

    module: Module
    standing: Standing
    solved: tuple[str, ...]
    written: tuple[str, ...]
    yours: int


class Workshop:
    """A workspace in the folder `root`. Use `Workshop.find()` or `Workshop.create()`."""

    def __init__(self, root: Path):
        self.root, self.modules = root, root / "modules"
        self.tito = self.modules / ".tito"
        self.recover()

    @classmethod
    def find(cls) -> "Workshop":
        """The workspace of the working directory, or the one that TINYTORCH_WORKSPACE names."""
        found = find_workspace()
        if found is None:
            off = f"{VARIABLE} is off" if os.environ.get(VARIABLE) == "off" else f"none above {Path.cwd()}"
            raise WorkshopError(f"There is no workspace here ({off}). `tito init` makes one.")
        return cls(Path(found))

    @classmethod
    def create(cls, root: Path) -> "Workshop":
        """Make a folder a workspace; one that is already is left as it is."""
        tito = root / "modules" / ".tito"
        if (root / "modules").exists() and not (root / "modules").is_dir():
            raise WorkshopError(f"{root / 'modules'} is a file; the workspace needs a folder of that name.")
        try:
            tito.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkshopError(f"{root} cannot become a workspace: {error.strerror}.") from None
        made = cls(root)
        if not made.progress_file.exists():
            with made.changing():
                pass
        return made

    # Where things are

    @property
    def progress_file(self) -> Path:
        return self.tito / "progress.json"

    def source_file(self, module: Module) -> Path:
        return self.modules / "source" / module.name / f"{module.slug}.py"

    def package_file(self, module: Module) -> Path:
        return self.modules / "package" / "core" / f"{module.slug}.py"

    def stub_file(self, module: Module) -> Path:
        return self.tito / "stubs" / f"{module.name}.py"

    # Progress

    def progress(self) -> Progress:
        """What is written down; an empty record where nothing is yet. Raises ProgressError for a damaged
        file.
        """
        try:
            text = self.progress_file.read_text("utf-8")
        except FileNotFoundError:
            return Progress()
        except UnicodeDecodeError as error:
            raise ProgressError(f"{self.progress_file} is damaged: {error}") from None
        return Progress.from_json(text, str(self.progress_file))

    @contextlib.contextmanager
    def changing(self) -> Iterator[Progress]:
        """The progress to change, held against other processes and written at the end, unless the block
        raises.
        """
        with locked(self.tito / "lock"):
            progress = self.progress()
            yield progress
            write_atomically(self.progress_file, progress.to_json())

    # A module's file

    def read(self, module: Module) -> str:
        """The reader's file of a module, as text."""
        path = self.source_file(module)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise WorkshopError(
                f"{path} is not there yet. `tito module start {module.number:02}` makes it."
            ) from None
        except OSError as error:
            raise WorkshopError(f"{path} cannot be read: {error.strerror}.") from None
        if len(data) > LARGEST_SOURCE:
            raise WorkshopError(f"{path} is too large: {len(data):,} bytes, at most {LARGEST_SOURCE:,}.")
        try:
            return data.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            raise WorkshopError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from None

    def start(self, module: Module) -> bool:
        """Make the module's stub, unless its file is there, and go on with it. True if it was made."""
        from .proof import stub_source

        if not module.released:
            raise WorkshopError(f"{module.label} is not in this release.")
        made = not self.source_file(module).exists()
        with self.changing() as progress:
            progress.current = module.name
            if made:
                text = stub_source(module)
                write_atomically(self.stub_file(module), text)
                write_atomically(self.source_file(module), text)
        return made

    def reset(self, module: Module, exercise: str | None = None) -> Path:
        """Bring back the stub of a module or of one exercise. What was there is kept; its place is
        returned.
        """
        from .proof import stub_source

        text, stub = self.read(module), stub_source(module)
        new = stub
        if exercise is not None:
            try:
                new = source.replace(text, {exercise: source.function(stub, exercise)})
            except SyntaxError as error:
                raise WorkshopError(
                    f"{self.source_file(module)} is not Python in line {error.lineno}: {error.msg}. "
                    f"Mend that line, or reset the whole module: tito module reset {module.number:02}"
                ) from None
            except source.SourceError:
                raise WorkshopError(
                    f"{self.source_file(module)} has no {exercise}; reset the module."
                ) from None
        kept = self.back_up(module, text)
        if exercise is None:
            write_atomically(self.stub_file(module), stub)
        write_atomically(self.source_file(module), new)
        return kept

    def back_up(self, module: Module, text: str) -> Path:
        stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
        kept = self.tito / "backups" / f"{module.name}-{stamp}.py"
        write_atomically(kept, text)
        return kept

    def update(self, module: Module) -> source.Merged | None:
        """Bring the reader's file up to the stub of this TinyTorch; None if it is. Conflicts keep the
        reader's part.
        """
        from .proof import stub_source

        new = stub_source(module)
        if not self.outdated(module, new):
            return None
        text = self.read(module)
        try:
            merged = source.merge(self.stub_file(module).read_text("utf-8"), text, new)
        except SyntaxError as error:
            raise WorkshopError(
                f"{self.source_file(module)} is not Python in line {error.lineno}: {error.msg}."
            ) from None
        self.back_up(module, text)
        write_atomically(self.source_file(module), merged.text)
        write_atomically(self.stub_file(module), new)
        return merged

    def outdated(self, module: Module, new: str | None = None) -> bool:
        """Did the reader's file begin as another stub than this TinyTorch's?"""
        from .proof import stub_source

        if not self.source_file(module).exists() or not self.stub_file(module).exists():
            return False
        return self.stub_file(module).read_text("utf-8") != (new or stub_source(module))

    # Checking and exporting

    def check(
        self, module: Module, names: Iterable[str] | None = None, limit: float = LONGEST_CHECK
    ) -> Report:
        """Run the checks of a module, or of some of its exercises, on the reader's file, and write down
        what passed.
        """
        return self._check(module, self.read(module), None if names is None else list(names), limit)

    def _check(self, module: Module, text: str, names: list[str] | None, limit: float) -> Report:
        path = self.source_file(module)
        report = check_file(module, path, text, self.root, names, limit=limit)
        self._note(module, text, report)
        failed = [each.name for each in report.exercises if each.state == "failed"]
        if failed and set(self.progress().modules) - {module.name}:
            alone = check_file(module, path, text, None, failed, limit=limit)
            innocent = {each.name for each in alone.exercises if each.state == "passed"}
            for each in report.exercises:
                if each.name in innocent:
                    each.message = "With the reference in place of your other modules it passes: look there."
                    each.diagnosis = ""
        return report

    def _note(self, module: Module, text: str, report: Report) -> None:
        """Write down the exercises that passed; what had passed before stays written down."""
        passed = [result.name for result in report.exercises if result.state == "passed"]
        if not passed:
            return
        new = {name: source.fingerprint(text, name) for name in passed}
        known = self.progress().exercises.get(module.name, {})
        if all(name in known and known[name].fingerprint == new[name] for name in passed):
            return
        with self.changing() as progress:
            for name in passed:
                attempt = progress.attempt(module.name, name)
                if attempt.fingerprint != new[name]:
                    attempt.passed, attempt.fingerprint = now(), new[name]

    def complete(
        self, module: Module, partial: bool = False, limit: float = LONGEST_CHECK
    ) -> tuple[Report, Path | None]:
        """Check the reader's file and export it. The path is None if nothing was exported.

        All exercises have to pass, each by itself and then all together in the file as it stands, with the
        whole of tinytorch imported on top. partial: export what passes; the reference's functions stand in
        for the rest.
        """
        from .proof import reference_source

        text = self.read(module)
        path = self.source_file(module)
        report = self._check(module, text, None, limit)
        passed = [result.name for result in report.exercises if result.state == "passed"]
        if report.error or not passed or (not report.passed and not partial):
            return report, None
        exported = text
        if not report.passed:
            present = source.functions(text)
            others = [name for name in module.exercises if name not in passed]
            if absent := [name for name in others if name not in present]:
                raise WorkshopError(
                    f"{path} has no {absent[0]}; `tito module update` or reset brings it back."
                )
            exported = source.fill(text, reference_source(module), others)
        whole = check_file(module, path, exported, self.root, passed, whole=True, limit=limit)
        if not whole.passed:
            return whole, None
        with self.changing() as progress:
            progress.pending[module.name] = Exported(now(), digest(exported), passed, report.passed)
        with self.changing() as progress:
            write_atomically(self.package_file(module), exported)
            self._settle(progress)
        return report, self.package_file(module)

    def _settle(self, progress: Progress) -> None:
        """Count the exports whose file was written; forget those whose file was not."""
        for name, export in list(progress.pending.items()):
            module = journey().module(name)
            if _digest_of(self.package_file(module)) == export.sha256:
                progress.modules[name] = export
                if export.complete and progress.current == name:
                    progress.current = self.next_module(module, progress).name
            del progress.pending[name]

    def remove_export(self, module: Module) -> bool:
        """Let the reference run again in the place of the reader's module. False if it did already."""
        with self.changing() as progress:
            progress.modules.pop(module.name, None)
            present = self.package_file(module).exists()
            self.package_file(module).unlink(missing_ok=True)
        return present

    # Standing

    def overview(self, module: Module, progress: Progress | None = None) -> Overview:
        progress = progress or self.progress()
        exported = progress.modules.get(module.name)
        if exported and _digest_of(self.package_file(module)) != exported.sha256:
            exported = None
        yours = len(exported.yours) if exported else 0
        if not self.source_file(module).exists():
            standing: Standing = "complete" if exported and exported.complete else "not started"
            return Overview(module, standing, (), (), yours)
        text = self.read(module)
        attempts = progress.exercises.get(module.name, {})
        try:
            found = source.functions(text)
        except SyntaxError:
            return Overview(module, "changed" if exported else "in progress", (), (), yours)
        written = tuple(n for n in module.exercises if n in found and not source.is_stub(found[n].node))
        solved = tuple(
            n for n in written
            if n in attempts and attempts[n].fingerprint == source.fingerprint_of(found[n].node)
        )  # fmt: skip
        if exported and exported.complete:
            standing = "complete" if digest(text) == exported.sha256 else "changed"
        elif len(solved) == len(module.exercises):
            standing = "ready"
        else:
            standing = "in progress" if written else "not started"
        return Overview(module, standing, solved, written, yours)

    def next_exercise(self, module: Module) -> str | None:
        """The first exercise, in order, that is not solved."""
        solved = self.overview(module).solved if self.source_file(module).exists() else ()
        return next((name for name in module.exercises if name not in solved), None)

    def current(self, progress: Progress | None = None) -> Module:
        return journey().module((progress or self.progress()).current)

    # Paths and milestones

    def track(self, progress: Progress | None = None) -> tuple[LearningPath, Track]:
        """The learning path that was chosen."""
        progress = progress or self.progress()
        for path in journey().paths:
            for track in path.tracks:
                if path.title == progress.path and (len(path.tracks) == 1 or track.title == progress.track):
                    return path, track
        raise WorkshopError(
            f"This TinyTorch has no path {progress.path!r} {progress.track!r}. `tito path choose` sets one."
        )

    def choose_path(self, path: LearningPath, track: Track) -> Module:
        """Follow a path from now on; returns the module to go on with, the first that is not complete."""
        with self.changing() as progress:
            progress.path, progress.track = path.title, track.title if len(path.tracks) > 1 else ""
            found = self._first_open(track, progress) or journey().module(track.modules[-1])
            progress.current = found.name
        return found

    def _first_open(self, track: Track, progress: Progress, after: int = 0) -> Module | None:
        for number in track.modules:
            module = journey().module(number)
            done = module.name in progress.modules and progress.modules[module.name].complete
            if number > after and module.released and not done:
                return module
        return None

    def next_module(self, module: Module, progress: Progress | None = None) -> Module:
        """The next module of the path that is not complete; the same one at the end."""
        progress = progress or self.progress()
        _, track = self.track(progress)
        return self._first_open(track, progress, module.number) or self._first_open(track, progress) or module

    def missing_for(self, milestone: Milestone) -> tuple[Module, ...]:
        """The modules of the reader's path that a milestone requires and that are not complete."""
        progress = self.progress()
        _, track = self.track(progress)
        return tuple(
            module
            for module in journey().required(milestone)
            if module.number in track.modules
            and self.overview(module, progress).standing not in ("complete", "changed")
        )

    # Carrying it elsewhere

    def contents(self) -> archive.Archive:
        """Everything of this workspace that travels."""
        places = {}
        for module in journey().modules:
            places[f"source/{module.name}/{module.slug}.py"] = self.source_file(module)
            places[f"stubs/{module.name}.py"] = self.stub_file(module)
            places[f"package/{module.slug}.py"] = self.package_file(module)
        return archive.Archive(
            {name: path.read_text("utf-8") for name, path in places.items() if path.exists()}, self.progress()
        )

    def export_zip(self, target: Path) -> None:
        """Write the workspace into one file. Raises WorkshopError if it cannot be written."""
        import tinytorch

        with locked(self.tito / "lock"):
            data = archive.pack(self.contents(), tinytorch.__version__)
        try:
            write_atomically(target, data)
        except OSError as error:
            raise WorkshopError(f"{target} cannot be written: {error.strerror}.") from None

    def import_zip(self, file: Path) -> archive.Archive:
        """Take over the modules and the progress of an exported workspace. Modules that it lacks stay.

        The archive is read and checked as a whole first. From then on an interrupted import is finished by
        the next `tito`: the archive waits in modules/.tito/incoming.zip until all of it is applied.
        """
        try:
            data = file.read_bytes()
        except OSError as error:
            raise WorkshopError(f"{file} cannot be read: {error.strerror}.") from None
        try:
            found = archive.unpack(data)
        except archive.ArchiveError as error:
            raise WorkshopError(f"{file}: {error}.") from None
        with locked(self.tito / "lock"):
            write_atomically(self.tito / "incoming.zip", data)
            self._apply()
        return found

    def recover(self) -> None:
        """Finish an import or an export that was interrupted, and clear away what interrupted writes left."""
        if (self.tito / "incoming.zip").exists():
            with locked(self.tito / "lock"):
                self._apply()
        with contextlib.suppress(ProgressError):
            if self.progress().pending:
                with self.changing() as progress:
                    self._settle(progress)
        if any(leftovers(self.modules)):
            with locked(self.tito / "lock"):
                for file in leftovers(self.modules):
                    file.unlink(missing_ok=True)

    def _apply(self) -> None:
        """Apply incoming.zip; running it again from any point gives the same end. The lock has to be held."""
        import tinytorch

        incoming = self.tito / "incoming.zip"
        try:
            data = incoming.read_bytes()
        except FileNotFoundError:  # another process finished it
            return
        new = archive.unpack(data)
        backup = self.tito / "backups" / f"before-import-{hashlib.sha256(data).hexdigest()[:12]}.zip"
        if not backup.exists():
            write_atomically(backup, archive.pack(self.contents(), tinytorch.__version__))
        progress = self.progress()
        for module in journey().modules:
            for name, path in (
                (f"stubs/{module.name}.py", self.stub_file(module)),
                (f"source/{module.name}/{module.slug}.py", self.source_file(module)),
                (f"package/{module.slug}.py", self.package_file(module)),
            ):
                if name in new.files:
                    write_atomically(path, new.files[name])
        progress.path, progress.track, progress.current = (
            new.progress.path, new.progress.track, new.progress.current,
        )  # fmt: skip
        progress.exercises.update(new.progress.exercises)
        progress.modules.update(new.progress.modules)
        for number, receipts in new.progress.milestones.items():
            kept = progress.milestones.setdefault(number, [])
            kept += [receipt for receipt in receipts if receipt not in kept]
        write_atomically(self.progress_file, progress.to_json())
        incoming.unlink()


def _digest_of(path: Path) -> str:
    try:
        return digest(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError):
        return ""


def digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()

"""What the milestone scripts share: options, opening lines, epochs with checkpoints, and the receipt.

The model and its training stand in the script. Importing this file makes `import tinytorch` work from a
clone that was never installed, and honours --reference, which has to be known before that import.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
if "--reference" in sys.argv:
    os.environ["TINYTORCH_WORKSPACE"] = "off"
# Products as small as these gain next to nothing from a second BLAS thread, and lose ten times over when
# another program wants its core. NumPy reads this when it is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

EXIT_MISSED, EXIT_ERROR, EXIT_INTERRUPTED = 1, 2, 130


def stop(message: str, code: int = EXIT_ERROR) -> NoReturn:
    """Leave with one message and no traceback."""
    print(message, file=sys.stderr)
    raise SystemExit(code)


try:
    import tinytorch as tt
    from tinytorch.datasets import DatasetError, cache_dir
    from tinytorch.journey.manifest import journey
    from tinytorch.journey.workspace import WorkspaceError, running_modules, whose_code
except ImportError as error:
    if error.name != "numpy":
        raise
    stop("TinyTorch runs on NumPy, and this Python has none: python -m pip install numpy")
except RuntimeError as error:  # a workspace that is named but not there
    stop(str(error))


@dataclass
class Receipt:
    """What a milestone reached. `passed` None: the bar alone decides. `then` follows at a terminal."""

    metric: str
    value: float
    bar: float
    parameters: int
    samples: int
    data: str
    passed: bool | None = None
    notes: list[str] = field(default_factory=list)
    then: Callable[[], None] | None = None


class Run:
    """One call of a milestone script: its options, and what it does with them."""

    def __init__(self, script: str, number: int, about: str, takes: str, epochs: int = 0, seeds: int = 1):
        self.script, self.milestone = Path(script).resolve(), journey().milestone(number)
        self.about, self.takes = about, takes
        self.options = options = self.parser(epochs, seeds).parse_args()
        self.seeds = list(range(options.seed, options.seed + options.seeds))
        self.epoch_count, self.device, self.data_dir = options.epochs, options.device, options.data_dir
        self.json, self.plot, self.resume = options.json, options.plot, options.resume
        self.folder = cache_dir() / "checkpoints"
        self.history: dict[int, list[dict[str, float]]] = {}
        self.seconds = dict.fromkeys(self.seeds, 0.0)

    def parser(self, epochs: int, seeds: int) -> argparse.ArgumentParser:
        title = f"{self.milestone.label}, {self.milestone.year}"
        # An abbreviation such as --ref would be accepted too late for what --reference does.
        parser = argparse.ArgumentParser(description=f"{title}: {self.about}", allow_abbrev=False)
        add = parser.add_argument
        add("--seed", type=at_least(0), default=0, metavar="N", help="the first seed (default 0)")
        add("--seeds", type=at_least(1), default=seeds, metavar="N", help=f"how many seeds (default {seeds})")
        add("--epochs", type=at_least(1), default=epochs, metavar="N", help=f"default {epochs}")
        add("--device", choices=("cpu", "cuda"), default="cpu", help="where the numbers are (default cpu)")
        add("--data-dir", type=Path, metavar="DIR", help="read a downloaded data set from DIR")
        add("--json", type=Path, metavar="FILE", help="write the receipt to FILE")
        add("--plot", type=Path, metavar="FILE", help="draw what was learned into FILE (.png, .svg, .pdf)")
        add("--reference", action="store_true", help="run on the reference modules, not on yours")
        add("--resume", action="store_true", help="go on from the last checkpoint")
        return parser

    def main(self, train: "Callable[[Run], Receipt]") -> NoReturn:
        """Say what comes, train, and leave with the receipt and exit status 0, 1, 2 or 130."""
        try:
            self.check_targets()
            self.open()
            tt.zeros(1).to(self.device)
            receipt = train(self)
        except KeyboardInterrupt:
            kept = any(self.checkpoint(seed).exists() for seed in self.seeds)
            hint = "--resume goes on from the last checkpoint." if kept else "There is no checkpoint yet."
            stop(f"\nStopped. {hint}", EXIT_INTERRUPTED)
        except (DatasetError, WorkspaceError) as error:
            stop(str(error))
        except NotImplementedError as error:
            if not any(ran.yours for ran in running_modules()):
                raise
            stop(f"Something is still to be written: {error}\n--reference runs without your modules.")
        except RuntimeError as error:
            if self.device == "cpu" or "cuda" not in str(error).lower():
                raise
            stop(str(error))
        passed = self.finish(receipt)
        if receipt.then is not None and sys.stdin.isatty():
            receipt.then()
        raise SystemExit(0 if passed else EXIT_MISSED)

    def check_targets(self) -> None:
        """Find out before the training whether its results can be written."""
        for option, path in (("--json", self.json), ("--plot", self.plot)):
            if path is None:
                continue
            if path.is_dir() or not path.parent.is_dir():
                fault = "that is a folder" if path.is_dir() else f"there is no folder {path.parent}"
                stop(f"{option} {path}: {fault}")
            if not os.access(path if path.exists() else path.parent, os.W_OK):
                stop(f"{option} {path}: no permission to write there")
        if self.plot:
            try:
                import matplotlib
            except ImportError:
                stop("--plot needs matplotlib: python -m pip install matplotlib")
            matplotlib.use("Agg")
            from matplotlib.backend_bases import FigureCanvasBase

            kinds = FigureCanvasBase.get_supported_filetypes()
            if self.plot.suffix.removeprefix(".") not in kinds:
                stop(f"--plot {self.plot}: the name has to end in one of .{', .'.join(sorted(kinds))}")

    def open(self) -> None:
        seeds = f"{len(self.seeds)} seeds" if len(self.seeds) > 1 else f"seed {self.seeds[0]}"
        print(f"{self.milestone.label}, {self.milestone.year}\n{self.about}")
        print(whose_code())
        epochs = f"{self.epoch_count} epochs; " if self.epoch_count else ""
        print(f"{seeds}, {epochs}takes {self.takes}.\n", flush=True)

    # Epochs, with a progress bar, checkpoints and a history

    def epochs(self, seed: int, **parts: Any) -> Iterator[int]:
        """Epoch numbers from 1. After an epoch, the state_dict of every part may be saved; --resume loads it.

        The random generator's state is saved too, so a run that was interrupted ends like one that was not.
        """
        rows, done = self.history.setdefault(seed, []), 0
        if self.resume:
            done = self.load_checkpoint(seed, parts)
        elif seed == self.seeds[0]:  # what older runs left must not pass for this one's
            for old in self.seeds:
                with suppress(OSError):
                    self.checkpoint(old).unlink(missing_ok=True)
        began = saved = time.perf_counter()
        with Progress(f"seed {seed}", done, self.epoch_count) as progress:
            for epoch in range(done + 1, self.epoch_count + 1):
                yield epoch
                now = time.perf_counter()
                self.seconds[seed], began = self.seconds[seed] + now - began, now
                progress.advance(rows[-1] if rows else {})
                if epoch == self.epoch_count or now - saved > 1:
                    self.save_checkpoint(seed, epoch, parts)
                    began = saved = time.perf_counter()

    def batches(self, loader: Any) -> Iterator[Any]:
        """The batches of a loader, with a bar of their own while an epoch takes long; only in a terminal."""
        if sys.stderr.isatty():
            with suppress(ImportError):
                from tqdm import tqdm

                yield from tqdm(loader, desc="batches", leave=False, position=1)
                return
        yield from loader

    def log(self, seed: int, **figures: float) -> None:
        """Note what an epoch reached: for the progress bar, and for --plot."""
        self.history[seed].append({name: float(value) for name, value in figures.items()})

    def checkpoint(self, seed: int) -> Path:
        return self.folder / f"{self.milestone.folder}-{self.script.stem}-{seed}.safetensors"

    def save_checkpoint(self, seed: int, epoch: int, parts: dict[str, Any]) -> None:
        state = {
            "epoch": epoch,
            "epochs": self.epoch_count,
            "seconds": self.seconds[seed],
            "history": self.history[seed],
            "generator": tt.default_generator.numpy.bit_generator.state,
            **{name: part.state_dict() for name, part in parts.items()},
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            tt.save(state, self.checkpoint(seed))
        except OSError as error:
            print(f"no checkpoint in {self.folder}: {error}. The training goes on.", file=sys.stderr)

    def load_checkpoint(self, seed: int, parts: dict[str, Any]) -> int:
        path = self.checkpoint(seed)
        if not path.exists():
            if seed == self.seeds[0]:
                stop(f"--resume: there is no checkpoint at {path}; leave --resume out to begin.")
            return 0
        try:
            state = tt.load(path)
            if state["epochs"] != self.epoch_count:
                stop(f"--resume: {path} was made with --epochs {state['epochs']}; give the same number.")
            for name, part in parts.items():
                part.load_state_dict(state[name])
        except (ValueError, KeyError, RuntimeError, OSError) as error:
            stop(f"--resume: {path} does not fit this run: {error}\nLeave --resume out to begin anew.")
        tt.default_generator.numpy.bit_generator.state = state["generator"]
        self.seconds[seed], self.history[seed][:] = state["seconds"], state["history"]
        return state["epoch"]

    # The end

    def draw(self, picture: "Callable[[Any], None]", size: tuple[float, float] = (6, 4)) -> None:
        """With --plot, let `picture` draw on matplotlib axes and write the file. size: in inches."""
        if not self.plot:
            return
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(figsize=size, layout="constrained")
        axes.set_title(f"{self.milestone.title}, {self.milestone.year}")
        picture(axes)
        figure.savefig(self.plot, bbox_inches="tight")
        print(f"drawn into {self.plot}")

    def curves(self, name: str, label: str) -> "Callable[[Any], None]":
        """A picture for `draw`: the logged figure of this name, epoch by epoch, a line for each seed."""

        def picture(axes: Any) -> None:
            for seed, rows in self.history.items():
                axes.plot(range(1, len(rows) + 1), [row[name] for row in rows], label=f"seed {seed}")
            axes.set(xlabel="epoch", ylabel=label)
            if len(self.history) <= 8:
                axes.legend()

        return picture

    def speed(self, seconds: float, receipt: Receipt) -> list[tuple[str, str]]:
        """The receipt's line on time."""
        return [
            ("training", f"{seconds:.1f} s, {receipt.samples / seconds if seconds else 0:,.0f} samples/s")
        ]

    def finish(self, receipt: Receipt) -> bool:
        """Print the receipt, write it to --json, and say whether the milestone is passed."""
        passed = receipt.value >= receipt.bar if receipt.passed is None else receipt.passed
        seconds = sum(self.seconds.values())
        record = {
            "milestone": self.milestone.number,
            "script": f"milestones/{self.milestone.folder}/{self.script.name}",
            "metric": receipt.metric,
            "value": round(receipt.value, 4),
            "bar": receipt.bar,
            "passed": bool(passed),
            "seed": self.seeds,
            "seconds": round(seconds, 3),
            "samples_per_second": round(receipt.samples / seconds) if seconds else 0,
            "parameters": receipt.parameters,
            "data": receipt.data,
            "modules": {ran.module.name: ran.owner for ran in running_modules()},
        }
        many = len(self.seeds) > 1
        rows = [
            (receipt.metric, f"{receipt.value:.2f}"),
            ("bar", f"{receipt.bar:g}"),
            ("result", "passed" if passed else "missed"),
            ("parameters", f"{receipt.parameters:,}"),
            *self.speed(seconds, receipt),
            ("seeds", f"{self.seeds[0]} to {self.seeds[-1]}" if many else str(self.seeds[0])),
            ("data", receipt.data),
        ]
        print_table(f"{self.milestone.label}: receipt", rows)
        for note in receipt.notes:
            print(note)
        if self.json:
            try:
                text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
                self.json.write_text(text, encoding="utf-8")
            except OSError as error:
                stop(f"--json {self.json}: {error.strerror}")
        return bool(passed)


class Progress:
    """A bar over the epochs of one seed; without a terminal or tqdm, a line a second and one at the end."""

    def __init__(self, label: str, done: int, total: int):
        self.label, self.done, self.total, self.shown = label, done, total, time.perf_counter()
        self.stack, self.bar = ExitStack(), None
        if sys.stderr.isatty():
            with suppress(ImportError):
                from tqdm import tqdm

                self.bar = self.stack.enter_context(tqdm(desc=label, initial=done, total=total, unit="epoch"))

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        self.stack.close()

    def advance(self, figures: dict[str, float]) -> None:
        self.done += 1
        reached = {name: f"{value:.4g}" for name, value in figures.items()}
        if self.bar is not None:
            self.bar.set_postfix(reached, refresh=False)
            self.bar.update()
        elif self.done == self.total or time.perf_counter() - self.shown > 1:
            self.shown = time.perf_counter()
            words = "".join(f", {name} {value}" for name, value in reached.items())
            print(f"{self.label}: epoch {self.done} of {self.total}{words}", file=sys.stderr, flush=True)


def print_table(title: str, rows: list[tuple[str, str]]) -> None:
    """A table of two columns: with rich where it is installed, else plain."""
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        width = max(len(name) for name, _ in rows)
        print(f"\n{title}", *(f"  {name:<{width}}  {text}" for name, text in rows), sep="\n")
        return
    table = Table(title=title, show_header=False, title_justify="left", min_width=len(title) + 4)
    for row in rows:
        table.add_row(*row)
    Console().print(table, highlight=False)


def at_least(low: int) -> Callable[[str], int]:
    """A type for argparse: a whole number from `low` up."""

    def number(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None
        if value < low:
            raise argparse.ArgumentTypeError(f"{value} is less than {low}")
        return value

    return number

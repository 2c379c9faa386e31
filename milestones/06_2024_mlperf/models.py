"""The three networks of the milestones before, as this one takes them: built, trained, measured.

Each comes from its own script: the network, its data and the rule by which it is judged are imported from
there, and the weights are those that the script kept when it was done.
"""

import argparse
import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import Receipt, Run, at_least, stop  # it makes `import tinytorch` work

# isort: split
import numpy as np

import tinytorch as tt
from tinytorch.datasets import CIFAR10_CLASSES, cache_dir, load_cifar10, load_mnist
from tinytorch.utils.data import TensorDataset

MILESTONES = Path(__file__).resolve().parents[1]


@cache
def script(path: str) -> ModuleType:
    """A milestone's script as a module, such as "03_1986_mlp/mnist.py"."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, MILESTONES / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Entry:
    """One network. sample_shape: of one input, as the service takes it; held_out and test: sets to measure
    on.
    """

    name: str
    title: str
    path: str
    data: str
    metric: str
    sample_shape: tuple[int, ...]
    test_set: Callable[[Path | None], Any]
    measure: Callable[[Any, Any], float]

    def build(self) -> Any:
        """The network, not trained."""
        return script(self.path).network()

    def checkpoint(self, seed: int = 0) -> Path:
        """The file that the milestone's script keeps."""
        folder, file = self.path.split("/")
        return cache_dir() / "checkpoints" / f"{folder}-{Path(file).stem}-{seed}.safetensors"

    def trained(self, seed: int = 0) -> Any:
        """The network with the weights of the milestone, in evaluation mode."""
        path, command = self.checkpoint(seed), f"python milestones/{self.path} --seed {seed}"
        if not path.exists():
            stop(f"{self.title} is not trained yet: there is no {path}.\nTrain it first: {command}")
        model = self.build()
        try:
            state = tt.load(path)
            if state["epoch"] != state["epochs"]:
                stop(f"{self.title}: the training in {path} was interrupted.\nFinish it: {command} --resume")
            model.load_state_dict(state["model"])
        except (ValueError, KeyError, RuntimeError, OSError, TypeError) as error:
            stop(f"{self.title}: {path} does not fit: {error}\nTrain it again: {command}")
        return model.eval()

    def accuracy(self, model: Any, examples: Any) -> float:
        """Percent right, by the rule of the milestone."""
        return float(self.measure(model.eval(), examples))


def images(load: Callable[..., Any]) -> Callable[[Path | None], Any]:
    return lambda data_dir: TensorDataset(*load("test", data_dir))


def talks(data_dir: Path | None) -> Any:
    """TinyTalks is judged by the questions that it was trained on, here as in its own script."""
    return script("05_2017_transformer/tinytalks.py").Talks("train")


def digits_right(model: Any, examples: Any) -> float:
    return script("03_1986_mlp/mnist.py").percent_right(model, examples, "cpu")


def pictures_right(model: Any, examples: Any) -> float:
    given = script("04_1998_cnn/cifar10.py").answers(model, examples, "cpu")
    return 100 * float(np.mean(given == np.asarray(examples.tensors[1])))


def answers_right(model: Any, examples: Any) -> float:
    return script("05_2017_transformer/tinytalks.py").measure(model, examples, "cpu")[0]


MODELS = {
    entry.name: entry
    for entry in (
        Entry(
            "mnist", "MLP on MNIST", "03_1986_mlp/mnist.py", "MNIST, 10,000 test digits",
            "test accuracy (%)", (28, 28), images(load_mnist), digits_right,
        ),
        Entry(
            "cifar10", "CNN on CIFAR-10", "04_1998_cnn/cifar10.py", "CIFAR-10, 10,000 test pictures",
            "test accuracy (%)", (3, 32, 32), images(load_cifar10), pictures_right,
        ),
        Entry(
            "tinytalks", "GPT on TinyTalks", "05_2017_transformer/tinytalks.py", "TinyTalks, 280 questions",
            "training questions answered exactly (%)", (), talks, answers_right,
        ),
    )
}  # fmt: skip
LABELS = {"mnist": [str(digit) for digit in range(10)], "cifar10": list(CIFAR10_CLASSES)}


def normalization(name: str) -> Any:
    """The transform that makes a network's inputs of pictures from 0 to 1."""
    return script(MODELS[name].path).normalize


class SystemRun(Run):
    """One call of a script of this milestone: it takes trained networks, so it has no epochs."""

    def parser(self, epochs: int, seeds: int) -> argparse.ArgumentParser:
        title = f"{self.milestone.label}, {self.milestone.year}"
        parser = argparse.ArgumentParser(description=f"{title}: {self.about}", allow_abbrev=False)
        add = parser.add_argument
        add("--models", nargs="+", choices=list(MODELS), default=list(MODELS), help="which (default: all)")
        add("--seed", type=at_least(0), default=0, metavar="N", help="the training that is taken (default 0)")
        add("--data-dir", type=Path, metavar="DIR", help="read MNIST and CIFAR-10 from DIR")
        add("--out", type=Path, default=Path("bundles"), metavar="DIR", help="bundles (default ./bundles)")
        add("--json", type=Path, metavar="FILE", help="write the receipt to FILE")
        add("--reference", action="store_true", help="run on the reference modules, not on yours")
        parser.set_defaults(seeds=1, epochs=0, device="cpu", plot=None, resume=False)
        return parser

    @property
    def entries(self) -> list[Entry]:
        return [MODELS[name] for name in self.options.models]

    def speed(self, seconds: float, receipt: Receipt) -> list[tuple[str, str]]:
        return [("took", f"{seconds:.1f} s")]

    def timed(self) -> "Timer":
        return Timer(self)


class Timer:
    """Adds the seconds of its block to the run's."""

    def __init__(self, run: SystemRun):
        self.run = run

    def __enter__(self) -> None:
        self.began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self.run.seconds[self.run.seeds[0]] += time.perf_counter() - self.began

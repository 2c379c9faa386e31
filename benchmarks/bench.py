"""How fast tinytorch is beside PyTorch eager, on this machine, in this minute.

`python -m benchmarks [--rounds 15] [--only NAME …] [--json FILE]` measures each workload in both
frameworks, in alternating rounds inside one process, so that both see the same machine; the table shows the
medians over the rounds and tinytorch's time divided by the other's: below 1.0 tinytorch is faster.

Each workload runs twice, each in a process of its own because the thread counts are read at start: on one
thread, in processor time, which another program on the machine hardly changes; and with the default number of
threads, in wall time, which is right only while nothing else runs. `import` compares `import tinytorch` with
`import numpy`, in processor time of fresh processes. Without PyTorch the table shows tinytorch alone. The
last lines are the geometric means of the ratios to PyTorch's defaults.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import language, vision

ROOT = Path(__file__).resolve().parent.parent
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
Contest = dict[str, Callable[[], object]]  # {name of the contestant: one repetition}

BATCH, STEPS_IN_A_ROUND = 64, 40
PAUSE, WARM_UP = 0.05, 0.1  # seconds


def mlp_step(framework: Any, make_optimizer: Callable[[Any], Any]) -> Callable[[], object]:
    """Training steps of an MLP 784-128-10 at batch 64: forward, cross-entropy, backward, update."""
    nn = framework.nn
    framework.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = make_optimizer(model.parameters())
    inputs, targets = framework.randn(BATCH, 784), framework.arange(BATCH) % 10

    def steps() -> None:
        for _ in range(STEPS_IN_A_ROUND):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs), targets).backward()
            optimizer.step()

    return steps


def mlp_sgd(tinytorch: Any, torch: Any) -> Contest:
    contest = {"tinytorch": mlp_step(tinytorch, lambda ps: tinytorch.optim.SGD(ps, lr=0.01))}
    if torch:
        contest |= {
            "torch": mlp_step(torch, lambda ps: torch.optim.SGD(ps, lr=0.01)),
            "torch foreach": mlp_step(torch, lambda ps: torch.optim.SGD(ps, lr=0.01, foreach=True)),
            "torch fused": mlp_step(torch, lambda ps: torch.optim.SGD(ps, lr=0.01, fused=True)),
        }
    return contest


def mlp_adam(tinytorch: Any, torch: Any) -> Contest:
    contest = {"tinytorch": mlp_step(tinytorch, tinytorch.optim.Adam)}
    if torch:
        contest |= {
            "torch": mlp_step(torch, torch.optim.Adam),
            "torch foreach": mlp_step(torch, lambda ps: torch.optim.Adam(ps, foreach=True)),
            "torch fused": mlp_step(torch, lambda ps: torch.optim.Adam(ps, fused=True)),
        }
    return contest


def adam_step_alone(tinytorch: Any, torch: Any) -> Contest:
    """Adam's update of a million parameters in sixteen tensors."""

    def updates(framework: Any, **settings: Any) -> Callable[[], object]:
        parameters = [framework.nn.Parameter(framework.randn(256, 256)) for _ in range(16)]
        for p in parameters:
            p.grad = framework.randn(256, 256)
        optimizer = framework.optim.Adam(parameters, **settings)
        return lambda: [optimizer.step() for _ in range(5)]

    contest = {"tinytorch": updates(tinytorch)}
    if torch:
        contest |= {"torch": updates(torch), "torch fused": updates(torch, fused=True)}
    return contest


def loader(tinytorch: Any, torch: Any) -> Contest:
    """One shuffled pass over 60,000 × 784 float32 in batches of 64."""
    images = tinytorch.zeros(60_000, 784)
    labels = tinytorch.arange(60_000) % 10

    def epoch(data: Any, members: list[Any]) -> Callable[[], object]:
        batches = data.DataLoader(data.TensorDataset(*members), batch_size=BATCH, shuffle=True)
        return lambda: [None for _ in batches]

    contest = {"tinytorch": epoch(tinytorch.utils.data, [images, labels])}
    if torch:
        import torch.utils.data

        shared = [torch.from_numpy(x.numpy()) for x in (images, labels)]
        contest["torch"] = epoch(torch.utils.data, shared)
    return contest


# name: (what it is, contest, repetitions that one round contains)
WORKLOADS: dict[str, tuple[str, Callable[[Any, Any], Contest], int]] = {
    "mlp-sgd": ("MLP 784-128-10, batch 64, SGD step", mlp_sgd, STEPS_IN_A_ROUND),
    "mlp-adam": ("the same, Adam step", mlp_adam, STEPS_IN_A_ROUND),
    "adam": ("Adam update of 16 × 65,536 parameters", adam_step_alone, 5),
    "loader": ("DataLoader, 60,000 × 784, batch 64, shuffled", loader, 1),
    **vision.WORKLOADS,
    **language.WORKLOADS,
}


def alternate(contest: Contest, rounds: int, clock: Callable[[], float]) -> dict[str, list[float]]:
    """Seconds of each round. Contestants take turns. In the pause before a turn the other's threads, who wait
    for more work busily, go to sleep; unmeasured repetitions wake its own, each on a processor of its own.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contest}
    for number in range(rounds):
        order = list(contest)
        for name in order if number % 2 else order[::-1]:
            time.sleep(PAUSE)
            warm = time.perf_counter() + WARM_UP
            while time.perf_counter() < warm:
                contest[name]()
            started = clock()
            contest[name]()
            seconds[name].append(clock() - started)
    return seconds


def measure(names: list[str], rounds: int, threads: int | None) -> dict[str, dict[str, float]]:
    """{workload: {contestant: median milliseconds of one repetition}}, in this process."""
    import tinytorch

    torch: Any = None
    if importlib.util.find_spec("torch"):
        import torch
    result = {}
    clock = time.process_time if threads == 1 else time.perf_counter
    for name in names:
        _, contest, repetitions = WORKLOADS[name]
        seconds = alternate(contest(tinytorch, torch), rounds, clock)
        result[name] = {who: statistics.median(times) / repetitions * 1000 for who, times in seconds.items()}
    return result


def measure_in_process(names: list[str], rounds: int, threads: int | None) -> dict[str, dict[str, float]]:
    """`measure` in a fresh process with this number of threads (None: each library's own default)."""
    fixed = dict.fromkeys(THREAD_VARIABLES, str(threads)) if threads else {}
    environment = {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    command = [sys.executable, "-m", "benchmarks", "--measure", json.dumps([names, rounds, threads])]
    environment |= fixed
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def import_times(rounds: int) -> dict[str, float]:
    """Median milliseconds of `import tinytorch` and `import numpy`, in fresh processes that take turns."""
    code = "import time; start = time.process_time(); import {}; print(time.process_time() - start)"

    def fresh(module: str) -> float:
        command = [sys.executable, "-c", code.format(module)]
        return float(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    modules = ("tinytorch", "numpy")
    for module in modules:
        fresh(module)  # writes the bytecode and fills the disk's cache
    seconds: dict[str, list[float]] = {module: [] for module in modules}
    for _ in range(rounds):
        for module in modules:
            seconds[module].append(fresh(module))
    return {module: statistics.median(times) * 1000 for module, times in seconds.items()}


def rows(results: dict[str, dict[str, dict[str, float]]], imports: dict[str, float]) -> Iterator[list[str]]:
    """The table: workload, threads, tinytorch's time, then each other contestant with the ratio to it."""
    for threads, measured in results.items():
        for name, times in measured.items():
            own = times["tinytorch"]
            others = [f"{who} {t:.3f} ({own / t:.2f})" for who, t in times.items() if who != "tinytorch"]
            shown = ", ".join(others) or "PyTorch is not installed"
            yield [WORKLOADS[name][0], threads, f"{own:.3f}", shown]
    if imports:
        own, numpy = imports["tinytorch"], imports["numpy"]
        yield ["import, in a fresh process", "", f"{own:.1f}", f"numpy {numpy:.1f} ({own / numpy:.2f})"]


def overall(results: dict[str, dict[str, dict[str, float]]]) -> Iterator[str]:
    """For each number of threads, the geometric mean of the ratios to PyTorch's defaults."""
    for threads, measured in results.items():
        ratios = [times["tinytorch"] / times["torch"] for times in measured.values() if "torch" in times]
        if ratios:
            mean = statistics.geometric_mean(ratios)
            yield f"geometric mean over {len(ratios)} workloads, threads {threads}: {mean:.2f}"


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    versions = {}
    for package in ("numpy", "torch"):
        if importlib.util.find_spec(package):
            versions[package] = __import__("importlib.metadata").metadata.version(package)
    load = round(os.getloadavg()[0], 1)
    return {"python": platform.python_version(), "processors": os.cpu_count(), "load": load, **versions}


def main() -> None:
    parser = argparse.ArgumentParser(description="tinytorch beside PyTorch eager on this machine")
    parser.add_argument("--rounds", type=int, default=15, help="measured rounds of each workload")
    parser.add_argument("--only", nargs="+", choices=[*WORKLOADS, "import"], help="these measurements alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the medians there as well")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(*json.loads(options.measure))))
        return
    wanted = options.only or [*WORKLOADS, "import"]
    names = [name for name in wanted if name != "import"]
    results = {}
    for label, threads in (("one", 1), ("default", None)) if names else ():
        results[label] = measure_in_process(names, options.rounds, threads)
    imports = import_times(max(15, options.rounds)) if "import" in wanted else {}
    table = [["workload", "threads", "tinytorch ms", "others: ms (ratio)"], *rows(results, imports)]
    widths = [max(len(row[column]) for row in table) for column in range(3)]
    about = machine()
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) + "  " + row[3])
    print(*overall(results), sep="\n")
    if options.json:
        report = {"machine": about, "milliseconds": results, "import_milliseconds": imports}
        options.json.write_text(json.dumps(report, indent=2) + "\n")

"""M06, 2024, first part: where the parameters, the operations, the time and the memory of your networks go.

Before anything is made smaller or faster it is measured, with the profiler of module 14. For each network:
its parameters, bytes and operations; the Ops that take the most time; how near it comes to the roofline of
this machine (Williams et al. 2009, https://doi.org/10.1145/1498765.1498785); and the memory at the peak of
its training, predicted from two smaller batches and then measured. The inputs are random, so no data is
needed.

    python milestones/06_2024_mlperf/profile.py --trace traces
"""

from models import Receipt, SystemRun, stop

# isort: split
import json
from pathlib import Path

import tinytorch as tt
from tinytorch.core.profiling import (
    Profiler,
    count_parameters,
    measure_machine,
    model_nbytes,
    peak_memory,
    predict_training_memory,
)
from tinytorch.nn import functional as F
from tinytorch.optim import Adam

ROWS, ROUNDS, WITHIN = 5, 5, 10.0  # Ops in a table; passes, of which the fastest counts; percent
BATCH = {"mnist": 128, "cifar10": 128, "tinytalks": 14}  # as in the milestones' training


def inputs_for(entry, model, count):
    """Random inputs and targets as the network is trained with: `count` pictures, or `count` texts."""
    if entry.sample_shape:
        return tt.randn(count, *entry.sample_shape), tt.randint(0, 10, (count,))
    ids = tt.randint(0, model.config.vocab_size, (count, model.config.block_size + 1))
    return ids[:, :-1], ids[:, 1:]


def one_pass(model, inputs):
    """A Profiler of one forward pass in evaluation mode: the fastest of several."""
    found = []
    with tt.no_grad():
        model(inputs)  # fills the buffers that stay
        for _ in range(ROUNDS):
            with Profiler(model) as profiler:
                model(inputs)
            found.append(profiler)
    return min(found, key=lambda profiler: profiler.seconds)


def loss_of(entry, model, count):
    inputs, targets = inputs_for(entry, model, count)
    return model(inputs, targets)[1] if entry.name == "tinytalks" else F.cross_entropy(model(inputs), targets)


def training(entry, count):
    """Two steps of a new network, so that the optimizer has all it keeps."""
    model = entry.build()
    optimizer = Adam(model.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(entry, model, count).backward()
        optimizer.step()


def training_memory(entry):
    """Bytes at the peak of the training with Adam, predicted and measured.

    The prediction comes from a quarter and a half of a batch. Far smaller ones would mislead: pictures that
    fit into one tile leave a convolution less to keep apart than many do.
    """
    count = BATCH[entry.name]
    model = entry.build()
    optimizer = Adam(model.parameters())
    predicted = predict_training_memory(
        model, lambda n: loss_of(entry, model, n), count, optimizer, (count // 4, count // 2)
    ).peak
    training(entry, count)
    return {"batch": count, "predicted": predicted, "measured": peak_memory(lambda: training(entry, count))}


def profile(entry, seed, machine):
    """The figures of one network, and the Profiler of its forward pass."""
    model, count = entry.trained(seed), BATCH[entry.name]
    profiler = one_pass(model, inputs_for(entry, model, count)[0])
    moved = sum(event.nbytes for event in profiler.op_events())
    intensity, reached = profiler.flops / moved, profiler.flops / profiler.seconds
    figures = {
        "parameters": count_parameters(model),
        "bytes": model_nbytes(model),
        "batch": count,
        "flops_per_sample": profiler.flops / count,
        "milliseconds": 1e3 * profiler.seconds,
        "ops": [row._asdict() for row in profiler.rows()],
        "flops_per_byte": intensity,
        "gflops": reached / 1e9,
        "roof_gflops": machine.attainable(intensity) / 1e9,
        "training_memory": training_memory(entry),
    }
    return figures, profiler


def show(entry, figures, profiler):
    memory, kind = figures["training_memory"], "picture" if entry.sample_shape else "text"
    print(
        f"\n{entry.title}: {figures['parameters']:,} parameters, {figures['bytes']:,} bytes, "
        f"{figures['flops_per_sample'] / 1e6:.2f} MFLOP a {kind}\n"
        f"A forward pass of {figures['batch']} takes {figures['milliseconds']:.2f} ms:\n"
        f"{profiler.table(limit=ROWS)}\n"
        f"{figures['flops_per_byte']:.1f} FLOP a byte: {figures['gflops']:.1f} GFLOP/s of the "
        f"{figures['roof_gflops']:.1f} under the roof ({figures['gflops'] / figures['roof_gflops']:.0%})\n"
        f"Training with batches of {memory['batch']}, at the peak: {memory['predicted'] / 1e6:.2f} MB "
        f"predicted, {memory['measured'] / 1e6:.2f} MB measured",
        flush=True,
    )


def main(run):
    folder = run.options.trace
    if folder:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            stop(f"--trace {folder}: {error.strerror}")
    found, errors = {}, []
    with run.timed():
        tt.manual_seed(run.seeds[0])
        machine = measure_machine()
        print(
            f"This machine: {machine.peak / 1e9:.1f} GFLOP/s at most, {machine.bandwidth / 1e9:.1f} GB/s; "
            f"from {machine.ridge:.1f} FLOP a byte on, computing is the limit."
        )
        for entry in run.entries:
            found[entry.name], profiler = profile(entry, run.seeds[0], machine)
            show(entry, found[entry.name], profiler)
            memory = found[entry.name]["training_memory"]
            errors.append(100 * abs(memory["predicted"] / memory["measured"] - 1))
            if folder:
                profiler.chrome_trace(folder / f"{entry.name}.json")
                (folder / "figures.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print()
    return Receipt(
        metric="peak memory of training, predicted against measured (% apart)",
        value=max(errors),
        bar=WITHIN,
        passed=max(errors) <= WITHIN,
        parameters=sum(figures["parameters"] for figures in found.values()),
        samples=0,
        data="random inputs of each network's shape",
        notes=[f"At most {WITHIN:g} % apart is asked for."]
        + [f"{folder} holds the timelines, for https://ui.perfetto.dev, and figures.json."] * bool(folder),
    )


class ProfileRun(SystemRun):
    def parser(self, epochs, seeds):
        parser = super().parser(epochs, seeds)
        parser.add_argument("--trace", type=Path, metavar="DIR", help="write timelines and figures into DIR")
        return parser


if __name__ == "__main__":
    ProfileRun(
        __file__,
        number=6,
        about="Your networks under the profiler: what they have, what they do, and what limits them.",
        takes="about ten seconds",
    ).main(main)

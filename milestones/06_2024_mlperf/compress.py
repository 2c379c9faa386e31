"""M06, 2024, second part: the networks of the milestones before, four times smaller and as good.

All weights become integers: the largest layers in 4 bits with a scale for each 32 weights (as GPTQ and its
successors store them, https://arxiv.org/abs/2210.17323), one layer after the other until the network is
small enough, the rest in 8. What is counted is what runs and what is stored: the bytes of the network's
arrays in memory, and of its file. The plan follows from the sizes alone; the test data are looked at once
before and once after. Each network leaves as a bundle.

    python milestones/06_2024_mlperf/compress.py
"""

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bundle import BundleError, float_nbytes, packed, read_bundle, write_bundle
from models import MODELS, Receipt, SystemRun, stop

# isort: split
from tinytorch.core.benchmarking import environment
from tinytorch.core.profiling import model_nbytes
from tinytorch.core.quantization import layers_to_quantize

AIM, GROUP, POINTS = 4.5, 32, 1.0  # times smaller in memory; weights that share a scale; accuracy to lose
WHERE = {"memory": "in memory", "disk": "on disk"}


def plan(model):
    """The layers to store in 4 bits: the largest ones, as few as it takes to be AIM times smaller.

    Layers that share a weight, as the two ends of a GPT do, stay in 8 bits together.
    """
    layers, before = layers_to_quantize(model), model_nbytes(model)
    chosen: list[str] = []
    users = [layer.weight for layer in layers.values()]
    alone = {path: layer for path, layer in layers.items() if sum(w is layer.weight for w in users) == 1}
    for path in sorted(alone, key=lambda path: -alone[path].weight.numel()):
        if before / model_nbytes(packed(model, chosen, GROUP)) >= AIM:
            break
        chosen.append(path)
    return {"four_bits": chosen, "group_size": GROUP}


def compress(entry, seed, data_dir, folder):
    """Figures of one network, before and after. What is measured is what a bundle gives back; then one with
    the figures is written.
    """
    model, test = entry.trained(seed), entry.test_set(data_dir)
    recipe = plan(model)
    smaller = packed(model, **recipe)
    figures = {
        "title": entry.title, "metric": entry.metric, "data": entry.data, "seed": seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "memory": {"before": model_nbytes(model), "after": model_nbytes(smaller)},
        "machine": environment(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        write_bundle(Path(scratch) / entry.name, entry, smaller, recipe, figures, card="")
        bundle = read_bundle(Path(scratch) / entry.name)
    figures["disk"] = {"before": float_nbytes(model), "after": bundle.config["weights"]["bytes"]}
    figures["accuracy"] = {
        "before": entry.accuracy(model, test),
        "after": entry.accuracy(bundle.model, test),
    }
    write_bundle(folder, entry, smaller, recipe, figures, card(entry, figures))
    return figures


def times(figures, what):
    return figures[what]["before"] / figures[what]["after"]


def lost(figures):
    return figures["accuracy"]["before"] - figures["accuracy"]["after"]


USES = {
    "mnist": "Reads one handwritten digit, white on black, 28x28, centred as in MNIST. "
    "Anything else gets a digit, too.",
    "cifar10": "Tells ten kinds of things apart on 32x32 photographs. "
    "A picture of anything else gets one of the ten names.",
    "tinytalks": "Answers the 280 questions of TinyTalks in their own words. "
    "It knows nothing else and makes things up.",
}


def before_and_after(figures, what, form):
    return f"{figures[what]['before']:{form}} | {figures[what]['after']:{form}}"


def card(entry, figures):
    """The model card (after Mitchell et al. 2019, https://arxiv.org/abs/1810.03993)."""
    rows = [f"| {figures['metric']} | {before_and_after(figures, 'accuracy', '.2f')} |"]
    for what, where in WHERE.items():
        ratio = f"{times(figures, what):.2f} times smaller"
        rows.append(f"| bytes {where} | {before_and_after(figures, what, ',')}, {ratio} |")
    machine = figures["machine"]
    return "\n".join([
        f"# {entry.title}", "",
        f"{figures['parameters']:,} parameters, trained by TinyTorch's `milestones/{entry.path}`, "
        f"seed {figures['seed']}.",
        "Large layers are stored in 4 bits, the others in 8; biases and norms are float32. While a layer "
        "computes, its weights are float32, too.", "",
        "## Use and limits", "", USES[entry.name], "",
        "## Figures", "",
        f"Measured on {figures['data']}, {figures['measured'][:10]}, before and after compression, with "
        f"Python {machine['python']} and NumPy {machine['numpy']} on {machine['system']}, "
        f"{machine['machine']}.", "",
        "| figure | float32 | this bundle |", "| --- | --- | --- |", *rows, "",
    ])  # fmt: skip


def main(run):
    found = {}
    with run.timed():
        for entry in run.entries:
            folder = run.options.out / entry.name
            try:
                found[entry.name] = figures = compress(entry, run.seeds[0], run.data_dir, folder)
            except (BundleError, OSError) as error:
                stop(f"--out {run.options.out}: {error}")
            print(f"{entry.title}, {figures['parameters']:,} parameters, as it was and as it is in {folder}")
            for what, form in (("memory", ",d"), ("disk", ",d"), ("accuracy", ".2f")):
                name = figures["metric"] if what == "accuracy" else f"bytes {WHERE[what]}"
                before, after = figures[what]["before"], figures[what]["after"]
                ratio = "" if what == "accuracy" else f"   {before / after:.2f} times smaller"
                print(f"  {name:40} {before:>10{form}} {after:>10{form}}{ratio}", flush=True)
    smallest = min(times(figures, what) for figures in found.values() for what in ("memory", "disk"))
    most_lost = max(map(lost, found.values()))
    return Receipt(
        metric="compression",
        value=smallest,
        bar=4.0,
        passed=smallest >= 4.0 and most_lost <= POINTS,
        parameters=sum(figures["parameters"] for figures in found.values()),
        samples=0,
        data="; ".join(MODELS[name].data for name in found),
        notes=[
            "Times smaller, in memory and on disk: the least of all.",
            f"At most {max(most_lost, 0):.2f} points of accuracy were lost; {POINTS:g} is the limit.",
            f"The bundles are in {run.options.out}.",
        ],
    )


if __name__ == "__main__":
    SystemRun(
        __file__,
        number=6,
        about="Your networks, 4 times smaller on disk and in memory, with 1 point of accuracy to lose.",
        takes="about ten seconds",
    ).main(main)

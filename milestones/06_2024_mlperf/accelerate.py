"""M06, 2024, third part: the same networks ten times faster, each against a baseline that is named.

The GPT of milestone 05 writes 256 characters with module 13's `generate`, which reads the whole text again
for each of them, and with the caches and the Decoder of module 17. Its positions are rotary, so the trained
weights serve a longer context; the time within the 129 characters it was trained on is printed, too. The
network of milestone 04 looks at pictures with its convolutions as six loops (module 09), as one product of
all windows (module 18's second rung), and fused (module 18). Before a figure counts, the answers that were
timed are compared: the same text, the same classes.

    python milestones/06_2024_mlperf/accelerate.py
"""

import copy
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from models import MODELS, Receipt, SystemRun, script, stop

# isort: split
import numpy as np

import tinytorch as tt
from tinytorch.core.acceleration import fuse, threads
from tinytorch.core.benchmarking import Benchmark
from tinytorch.core.memoization import Decoder
from tinytorch.core.spatial import channels_first, channels_last, conv2d_loops, padded, patches, window_of
from tinytorch.core.tensor import wrap
from tinytorch.core.transformers import GPT, generate
from tinytorch.utils.threads import get_num_threads

CHARACTERS, PICTURES, MOVED = 256, 1000, 1e-4  # MOVED: by how much of the largest output any may differ
BAR, OVER_VECTORIZED = 10.0, 3.0
DATA = {
    "tinytalks": f"{CHARACTERS} characters of the GPT",
    "cifar10": f"{PICTURES:,} test pictures of CIFAR-10",
}


class LoopsConv2d(tt.nn.Conv2d):
    """Number by number."""

    def forward(self, input):
        bias = None if self.bias is None else self.bias.array
        settings = self.stride, self.padding, self.dilation, self.groups
        return wrap(conv2d_loops(input.array, self.weight.array, bias, *settings))


class WindowsConv2d(tt.nn.Conv2d):
    """All windows (N, Ho, Wo, kh, kw, C) times all kernels: the rung `vectorized` (18), for any kernel."""

    def forward(self, input):
        window = window_of(self.kernel_size, self.stride, self.padding, self.dilation)
        windows = patches(padded(channels_last(input.array), window.padding), window)
        out = np.tensordot(windows, self.weight.array.transpose(2, 3, 1, 0), 3)
        return wrap(channels_first(out if self.bias is None else out + self.bias.array))


def convolving(model, kind):
    """A copy of a network whose convolutions are of another class."""
    model = copy.deepcopy(model)
    for layer in model.modules():
        if type(layer) is tt.nn.Conv2d:
            layer.__class__ = kind
    return model.eval()


def with_context(model, length):
    """The same GPT for texts of this length: rotary positions need no table, so the weights fit."""
    longer = GPT(replace(model.config, block_size=length))
    longer.load_state_dict(model.state_dict())
    return longer.eval()


def same_answers(model, questions, tokenizer, longest):
    """How many questions get the same answer with caches as without, character by character."""
    decoder, same, end = Decoder(model), 0, tokenizer.special_tokens["<end>"]
    for question in questions:
        ids = tt.tensor([tokenizer.encode(f"{question}\n")])
        settings = {"temperature": 0, "stop_tokens": [end]}
        plain = generate(model, ids, longest, **settings).numpy()
        same += np.array_equal(plain, decoder.generate(ids, longest, **settings).numpy())
    return same


def race(contestants, rounds, warm_up=1):
    """(Report, {name: what its last timed call gave})."""
    outputs = {}

    def call(name, function):
        with tt.no_grad():
            outputs[name] = function().numpy()

    calls = {name: partial(call, name, function) for name, function in contestants.items()}
    return Benchmark(calls, warm_up).run(rounds), outputs


def writing(model, ids, count, rounds):
    """The Comparison of module 13's generate and the Decoder's, with the same greedy tokens."""
    report, texts = race(
        {
            "generate": lambda: generate(model, ids, count, temperature=0),
            "Decoder": lambda: Decoder(model).generate(ids, count, temperature=0),
        },
        rounds,
    )
    if not np.array_equal(texts["generate"], texts["Decoder"]):
        stop("GPT: the Decoder writes another text than generate; that is no speed-up")
    return shown(report, "generate", "Decoder", f"GPT, {count} characters")


def seeing(model, kind, pictures, rounds, warm_up=1):
    """The Comparison of a network with slow convolutions, on one thread, and the fused one on all, with the
    same answers; that with the fused one on one thread is printed, too.
    """
    slow, fused, name = convolving(model, kind), fuse(model), kind.__name__.removesuffix("Conv2d").lower()

    def look(network, count):
        with threads(count):
            return network(pictures)

    ways, most = {name: partial(look, slow, 1), "fused": partial(look, fused, 1)}, get_num_threads()
    if most > 1:
        ways[f"fused, {most} threads"] = partial(look, fused, most)
    report, outputs = race(ways, rounds, warm_up)
    found = {}
    for way in list(ways)[1:]:
        check_answers(outputs[name], outputs[way])
        found[way] = shown(report, name, way, f"CNN, pictures at once: {len(pictures):,}")
    return found[way]


def check_answers(right, found):
    """Stop where a class differs, or an output by more than MOVED of the largest."""
    moved = float(np.abs(found - right).max() / np.abs(right).max())
    differ = int((found.argmax(1) != right.argmax(1)).sum())
    if differ or not moved <= MOVED:
        stop(f"CNN: {differ} answers differ, outputs by {moved:.1e} of the largest; that is no speed-up")


def shown(report, baseline, name, what):
    """The Comparison of two contestants, printed."""
    found = report.compare(baseline, name)
    before, after = (1e3 * report.median(each).estimate for each in (baseline, name))
    print(
        f"{what}: {baseline} {before:,.2f} ms, {name} {after:,.2f} ms: {found.ratio:,.2f}x, 95 % interval "
        f"{found.low:,.2f} to {found.high:,.2f} ({found.rounds} rounds)",
        flush=True,
    )
    return found


def language(run):
    """The Comparison for 256 characters."""
    entry = MODELS["tinytalks"]
    talks, model = script(entry.path), entry.trained(run.seeds[0])
    same = same_answers(model, talks.questions, talks.tokenizer, talks.LONGEST)
    print(
        f"GPT: {same} of {len(talks.questions)} training questions get the same answer with caches",
        flush=True,
    )
    if same < len(talks.questions):
        stop("GPT: caches change answers; that is no speed-up")
    ids = tt.tensor([talks.tokenizer.encode(f"{talks.questions[0]}\n")])
    writing(model, ids, model.config.block_size - ids.shape[1], rounds=21)
    return writing(with_context(model, ids.shape[1] + CHARACTERS), ids, CHARACTERS, rounds=31)


def vision(run):
    """The Comparisons with the loops and with all windows at once."""
    entry = MODELS["cifar10"]
    model, pictures = entry.trained(run.seeds[0]), entry.test_set(run.data_dir).tensors[0]
    pictures = script(entry.path).normalize(np.asarray(pictures[:PICTURES]))
    seeing(model, WindowsConv2d, pictures[:100], rounds=31)
    over_windows = seeing(model, WindowsConv2d, pictures, rounds=31)
    print("The loops take their time now: about a minute and a half.", flush=True)
    return seeing(model, LoopsConv2d, pictures[:1], rounds=6, warm_up=0), over_windows


def main(run):
    chosen = [name for name in ("tinytalks", "cifar10") if name in run.options.models]
    if not chosen:
        stop("accelerate.py has baselines for tinytalks and cifar10; name one of them, or leave --models out")
    least, notes, enough = [], [], True
    with run.timed():
        if "tinytalks" in chosen:
            least.append(language(run).low)
        if "cifar10" in chosen:
            over_loops, over_windows = vision(run)
            least.append(over_loops.low)
            enough = over_windows.low >= OVER_VECTORIZED
            notes = [
                f"CNN over vectorized: {over_windows.ratio:.2f} ({over_windows.low:.2f} to "
                f"{over_windows.high:.2f}), {get_num_threads()} threads to 1; needed: {OVER_VECTORIZED:g}.",
                f"Outputs of the CNN differ by at most {MOVED:g} of the largest, and no answer does.",
            ]
    return Receipt(
        metric="speed-up",
        value=min(least),
        bar=BAR,
        passed=min(least) >= BAR and enough,
        parameters=sum(p.numel() for name in chosen for p in MODELS[name].build().parameters()),
        samples=0,
        data="; ".join(DATA[name] for name in chosen),
        notes=[
            "The value: the lower end of a 95 % interval, the smaller of GPT over generate, CNN over loops.",
            *notes,
        ],
    )


if __name__ == "__main__":
    SystemRun(
        __file__,
        number=6,
        about="Your GPT and your CNN, 10 times faster than as first written, with the same answers.",
        takes="two to three minutes, most of it for the loops",
    ).main(main)

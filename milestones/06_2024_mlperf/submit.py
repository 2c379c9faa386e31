"""M06, 2024, last part: the bundles in the scenarios of MLPerf, and entered into a competition.

Each network runs three times: as the milestone left it, in float32; as its bundle keeps it, in integers;
and from the bundle, unpacked and run the fast way of modules 17 and 18. SingleStream, Offline and
Server (module 19) check the accuracy of the very answers that they time. A picture is looked at once, not
with its mirror image; a question is answered, character by character.

Then the fast way is entered into the closed division of module 20: what is claimed is measured, written down,
measured again by the verifier, and, if that accepts it, put on a leaderboard in the folder of the bundles.

    python milestones/06_2024_mlperf/compress.py
    python milestones/06_2024_mlperf/submit.py
"""

import copy
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bundle import BundleError, add_figures, packed, read_bundle
from models import MODELS, Receipt, SystemRun, normalization, script, stop

# isort: split
import numpy as np

import tinytorch as tt
from tinytorch.core.acceleration import fuse
from tinytorch.core.benchmarking import SystemUnderTest, environment, top1
from tinytorch.core.competition import Leaderboard, System, Task, accuracy_of, enter, verify, weights_of
from tinytorch.core.memoization import Decoder
from tinytorch.core.transformers import GPT, generate

SAMPLES, ROUNDS = 2000, 30  # test pictures that are asked about; rounds of the competition
BOUNDS = {"mnist": 0.005, "cifar10": 0.015, "tinytalks": 0.1}  # seconds that a query may take in Server


class AnsweringGPT(GPT):
    """A GPT asked questions: ids (N, T), padded, to the ids of its answers (N, LONGEST), padded."""

    def forward(self, idx, targets=None, cache=None):
        model: Any = copy.copy(self)  # the same weights
        model.__class__ = GPT
        return answers(partial(generate, model), idx)


def answers(write, questions):
    """The answers (N, LONGEST) that write(ids, length, …) gives, each with <end>, padded."""
    talks = script(MODELS["tinytalks"].path)
    pad, out = talks.tokenizer.pad_id, np.full((len(questions), talks.LONGEST), talks.tokenizer.pad_id)
    for row, question in zip(out, np.asarray(questions.array), strict=True):
        ids = question[question != pad][None]
        written = write(tt.tensor(ids), talks.LONGEST, temperature=0, stop_tokens=[talks.END]).numpy()
        row[: written.shape[1] - ids.shape[1]] = written[0, ids.shape[1] :]
    return tt.tensor(out)


def exact(outputs, targets):
    """The share of answers that are right to the last character."""
    return float((outputs == targets).all(1).mean())


def asked(model):
    """A network as its task asks it: a GPT has to answer."""
    if type(model) is GPT:
        model.__class__ = AnsweringGPT
    return model.eval()


def questions_and_answers():
    """ids (N, T) of the questions and (N, LONGEST) of the answers of TinyTalks' training set, padded."""
    talks = script(MODELS["tinytalks"].path)
    encode = partial(talks.tokenizer.encode_batch, allowed_special={"<end>"})
    questions = encode([f"{question}\n" for question in talks.questions])
    found = encode([f"{answer}<end>" for answer in talks.answers]).numpy()
    targets = np.full((len(found), talks.LONGEST), talks.tokenizer.pad_id)
    targets[:, : found.shape[1]] = found
    return questions, targets


def task_of(entry, reference, data_dir):
    """The Task of one network: answer the test set, one sample a query, nearly as well as the reference."""
    if entry.name == "tinytalks":
        inputs, targets = questions_and_answers()
        return Task(
            entry.title, inputs, targets, lambda: asked(copy.deepcopy(reference)), exact, rounds=ROUNDS
        )
    pictures, labels = entry.test_set(data_dir).tensors
    inputs = normalization(entry.name)(np.asarray(pictures[:SAMPLES]))
    labels = np.asarray(labels[:SAMPLES])
    return Task(entry.title, inputs, labels, lambda: copy.deepcopy(reference), top1, rounds=ROUNDS, number=10)


def unpacked(entry, model):
    """What runs the numbers of a bundle's network the fast way: floats again, fused or with caches."""
    plain = entry.build().eval()
    plain.load_state_dict({name: tt.tensor(array) for name, array in weights_of(model).items()})
    if entry.name == "tinytalks":
        return partial(answers, Decoder(plain).generate)
    return fuse(plain) if any(isinstance(layer, tt.nn.Conv2d) for layer in plain.modules()) else plain


def system_of(entry, bundle, folder):
    """The bundle as a competition's System."""
    recipe = bundle.config["recipe"]
    return System(
        lambda: asked(packed(entry.build(), **recipe)),
        folder / "model.safetensors",
        prepare=partial(unpacked, entry),
    )


def scenarios(task, ways, bound):
    """{way: [Result of SingleStream, of Offline, of Server]}, printed as they come."""
    quality = task.floor * accuracy_of(task, task.reference)
    found: dict[str, list] = {}
    for name, model in ways.items():
        sut = SystemUnderTest(model, task.inputs, task.targets, quality, task.score)
        found[name] = []
        for run in (sut.single_stream, sut.offline, partial(sut.server, bound)):
            found[name].append(run())
            print(f"  {name:22} {found[name][-1]}", flush=True)
    return found


def compete(task, system, name, folder):
    """(Submission, Verdict): measured, written into the folder, verified, and put on the leaderboard."""
    submission = enter(name, task, system)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "submission.json").write_text(submission.to_json() + "\n", encoding="utf-8")
    board = Leaderboard(folder / "accepted", task)
    known = any(s.weights_sha256 == submission.weights_sha256 for s, _ in board.stored())
    verdict = verify(submission, task, system) if known else board.add(submission, system)
    (folder / "leaderboard.html").write_text(board.to_html(), encoding="utf-8")
    print(verdict, "\n", board.table(), "\n", sep="", flush=True)
    return submission, verdict


def figures_of(results, submission, verdict):
    """What the bundle's figures.json gets."""
    runs = {
        way: {
            r.scenario: {
                "metric": r.metric, "value": r.value, "unit": r.unit, "accuracy": r.accuracy,
                "quality": r.quality, "valid": r.valid, "simulated_queue": r.simulated,
            }
            for r in found
        }
        for way, found in results.items()
    }  # fmt: skip
    return {
        "scenarios": {
            "measured": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": environment(),
            "runs": runs,
        },
        "submission": {"accepted": verdict.accepted, **submission.record()["claimed"]},
    }


def card_of(results):
    """What the bundle's card gets."""
    rows = [
        f"| {way} | {r.scenario} | {r.metric} | {r.value:.4g} {r.unit} | {100 * r.accuracy:.2f} % |"
        for way, found in results.items()
        for r in found
    ]
    return "\n".join([
        "## Speed", "",
        f"Measured on this machine, {datetime.now(UTC).date()}, accuracy of the same answers. Server's queue "
        "is computed from measured times.", "",
        "| run | scenario | metric | value | accuracy |", "| --- | --- | --- | --- | --- |", *rows, "",
    ])  # fmt: skip


def submit(entry, seed, data_dir, out):
    """Did the bundle of one network keep its accuracy, and was its submission accepted?"""
    folder = out / entry.name
    try:
        bundle = read_bundle(folder)
    except BundleError as error:
        stop(f"{error}\nWrite it first: python milestones/06_2024_mlperf/compress.py --models {entry.name}")
    reference = entry.trained(seed)
    task, system = task_of(entry, reference, data_dir), system_of(entry, bundle, folder)
    print(f"{entry.title}, {len(task.inputs):,} samples", flush=True)
    small = bundle.model
    ways = {
        "float32": task.reference,
        "bundle, integers": partial(answers, Decoder(small).generate) if type(small) is GPT else small,
        "bundle, fast": system.ready(system.load()),
    }
    results = scenarios(task, ways, BOUNDS[entry.name])
    name = f"bundle {system.weights.parent.name} {bundle.config['weights']['sha256'][:8]}"
    submission, verdict = compete(task, system, name, out / "leaderboard" / entry.name)
    add_figures(folder, figures_of(results, submission, verdict), card_of(results))
    valid = all(r.valid for way, found in results.items() if way != "float32" for r in found)
    return verdict.accepted and valid


def main(run):
    with run.timed():
        passed = [submit(e, run.seeds[0], run.data_dir, run.options.out) for e in run.entries]
    return Receipt(
        metric="submissions accepted",
        value=sum(passed),
        bar=len(passed),
        parameters=sum(p.numel() for e in run.entries for p in e.build().parameters()),
        samples=0,
        data="; ".join(entry.data for entry in run.entries),
        notes=[
            f"Of the pictures, {SAMPLES:,} were asked about.",
            f"The leaderboards are in {run.options.out / 'leaderboard'}.",
        ],
    )


if __name__ == "__main__":
    SystemRun(
        __file__,
        number=6,
        about="Your bundles in the scenarios of MLPerf, and on a leaderboard, verified.",
        takes="two to three minutes",
    ).main(main)

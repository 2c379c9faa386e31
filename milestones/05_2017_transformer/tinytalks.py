"""M05, 2017, second part: a GPT that reads and writes single characters learns to answer short questions.

The transformer of Vaswani and colleagues (2017, https://arxiv.org/abs/1706.03762) in the form of GPT: it
reads from left to right and guesses the next character. TinyTalks ships with TinyTorch: 280 questions with
their answers to train on, 35 that chose the settings, 35 to test. A held-out question asks in other words
for an answer that stands in the training set. Afterwards you can ask questions of your own.

    python milestones/05_2017_transformer/tinytalks.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import Receipt, Run

# isort: split
import numpy as np

import tinytorch as tt
from tinytorch import nn, optim
from tinytorch.core.tokenization import CharTokenizer
from tinytorch.core.transformers import GPT, GPTConfig, WarmupCosineLR
from tinytorch.datasets import load_tinytalks
from tinytorch.nn import functional as F

LAYERS, HEADS, WIDTH, BATCH, RATE, DECAY, TYPING_ERRORS = 2, 4, 128, 14, 0.004, 0.1, 0.15
LONGEST, UNCOUNTED = 64, -100  # characters of a question or an answer; a target that does not count

questions, answers, _ = load_tinytalks("train")
tokenizer = CharTokenizer.train("\n".join(questions + answers), special_tokens=["<pad>", "<end>"])
END = tokenizer.special_tokens["<end>"]
# Another digit would be another question, so digits are spelt right.
SPELT = [id for character, id in tokenizer.ids.items() if not character.isdigit() and character != "\n"]


def network():
    return GPT(GPTConfig(len(tokenizer), 2 * LONGEST + 1, LAYERS, HEADS, WIDTH, positions="rotary"))


class Talks:
    """The pairs of a split as ids (N, T): inputs "question, new line, answer", targets one character on."""

    def __init__(self, split):
        self.questions, self.answers, _ = load_tinytalks(split)
        texts = [f"{q}\n{a}<end>" for q, a in zip(self.questions, self.answers, strict=True)]
        ids = tokenizer.encode_batch(texts, allowed_special={"<end>"}).numpy()
        self.inputs, self.targets = ids[:, :-1], ids[:, 1:]
        self.counted = self.targets != tokenizer.pad_id
        answer_starts = np.array([[len(question)] for question in self.questions])
        self.in_answer = self.counted & (np.arange(self.inputs.shape[1]) >= answer_starts)

    def batches(self):
        """Once through the pairs in a new order: inputs and targets (BATCH, T), some questions misspelt."""
        rng = tt.default_generator.numpy
        order = rng.permutation(len(self.inputs))
        for rows in (order[i : i + BATCH] for i in range(0, len(order), BATCH)):
            length = self.counted[rows].sum(1).max()
            inputs, counted, in_answer = (
                x[rows, :length] for x in (self.inputs, self.counted, self.in_answer)
            )
            wrong = ~in_answer & np.isin(inputs, SPELT) & (rng.random(inputs.shape) < TYPING_ERRORS)
            inputs = np.where(wrong, rng.choice(SPELT, inputs.shape), inputs)
            yield tt.tensor(inputs), tt.tensor(np.where(counted, self.targets[rows, :length], UNCOUNTED))


def measure(model, talks, device):
    """How many percent of the answers are exact, and the bits for each of their characters.

    One pass over question and right answer tells both: writing the most probable character each time gives
    exactly this answer if at every place in it the most probable character is the right one.
    """
    model.eval()
    with tt.no_grad():
        logits, _ = model(tt.tensor(talks.inputs).to(device))  # (N, T, V)
        log_p = F.log_softmax(logits, -1).to("cpu").numpy()
    right = (log_p.argmax(2) == talks.targets) | ~talks.in_answer
    bits = -np.take_along_axis(log_p, talks.targets[..., None], 2)[..., 0] / np.log(2)
    return 100 * right.all(1).mean(), bits[talks.in_answer].mean()


def bigram_bits(training, validation, test):
    """Bits a character of a table of pairs: how often each character follows the one before it, plus a
    constant so that no pair is impossible. The constant is the one that suits the validation set best."""
    counts = np.zeros((len(tokenizer), len(tokenizer)))
    np.add.at(counts, (training.inputs[training.counted], training.targets[training.counted]), 1)

    def bits(talks, constant):
        p = (counts + constant) / (counts + constant).sum(1, keepdims=True)
        return -np.log2(p[talks.inputs[talks.in_answer], talks.targets[talks.in_answer]]).mean()

    return bits(test, min(np.geomspace(0.001, 1, 31), key=lambda constant: bits(validation, constant)))


def reply(model, question, device):
    """The model's answer to a question, always with the most probable character."""
    ids = tt.tensor([tokenizer.encode(f"{question}\n")]).to(device)
    written = model.generate(ids, LONGEST, temperature=0, stop_tokens=[END])
    return tokenizer.decode(written[0, ids.shape[1] :]).removesuffix("<end>")


def train(run):
    training, validation, test = Talks("train"), Talks("val"), Talks("test")
    reached = []  # for each seed: exact training answers, exact test answers, bits on the test set
    for seed in run.seeds:
        tt.manual_seed(seed)
        model = network().to(run.device)
        optimizer = optim.AdamW(model.optimizer_groups(DECAY), lr=RATE, betas=(0.9, 0.99))
        steps = run.epoch_count * -(-len(training.inputs) // BATCH)
        schedule = WarmupCosineLR(optimizer, warmup=steps // 10, total=steps, min_lr=RATE / 50)
        for epoch in run.epochs(seed, model=model, optimizer=optimizer, schedule=schedule):
            model.train()
            losses = []
            for inputs, targets in training.batches():
                _, loss = model(inputs.to(run.device), targets.to(run.device))
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
            _, bits = measure(model, validation, run.device)
            run.log(seed, loss=np.mean(losses), validation_bits=bits)
            if epoch in (2, 5) or epoch % 10 == 0:
                said = reply(model, questions[0], run.device)
                print(f"epoch {epoch:3}  {questions[0]}  {said}", flush=True)
        exact, _ = measure(model, training, run.device)
        reached.append((exact, *measure(model, test, run.device)))
        print(f"seed {seed}: {exact:.1f} % of the training questions are answered exactly\n")
    for question, answer in zip(test.questions[::5], test.answers[::5], strict=True):
        print(f"{question}\n  {reply(model, question, run.device)}  (right: {answer})")

    exact, test_exact, test_bits = np.mean(reached, 0)
    baseline = bigram_bits(training, validation, test)
    run.draw(run.curves("validation_bits", "bits a character, validation answers"))
    return Receipt(
        metric="TinyTalks training answers exact (%)",
        value=exact,
        bar=90.0,
        parameters=model.num_parameters(),
        samples=len(training.inputs) * run.epoch_count * len(run.seeds),
        data="TinyTalks: 280 pairs train, 35 validation, 35 test; characters",
        notes=[
            f"Held out: {test_exact:.1f} % of {len(test.inputs)} answers exact, "
            f"{test_bits:.2f} bits a character; a bigram table needs {baseline:.2f}."
        ],
        then=lambda: chat(model, run.device),
    )


def chat(model, device):
    """Answer what is typed until Ctrl-D."""
    print("\nAsk something; Ctrl-D ends.")
    while True:
        try:
            question = input("> ").strip()
            if question:
                print(reply(model, question[:LONGEST], device))
        except ValueError as error:  # a character that TinyTalks does not have
            print(error)
        except (EOFError, KeyboardInterrupt):
            print()
            return


if __name__ == "__main__":
    Run(
        __file__,
        number=5,
        about="A GPT learns TinyTalks. The bar is 90 % of the training questions, answered exactly.",
        takes="about a minute a seed",
        epochs=80,
    ).main(train)

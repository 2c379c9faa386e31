"""M02, 1969: XOR, which one layer cannot compute and two layers can.

Exclusive or is true when exactly one of two inputs is. Marvin Minsky and Seymour Papert (Perceptrons, MIT
Press, 1969) proved what a single layer of weights can never tell apart; XOR is the smallest case. With a
hidden layer it becomes easy, once there is a way to train one: back-propagation.

    python milestones/02_1969_xor/xor.py
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import Receipt, Run

import tinytorch as tt
from tinytorch import nn, optim
from tinytorch.nn import functional as F

INPUTS = tt.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
TARGETS = tt.tensor([[0.0], [1.0], [1.0], [0.0]])
HIDDEN = 8


def right(model, inputs, targets):
    """How many of the four answers are right."""
    with tt.no_grad():
        return int(((model(inputs) > 0) == (targets > 0.5)).sum())


def best_line(steps=41):
    """The most answers that any line of a grid gets right: every w and b from -2 to 2."""
    grid = np.linspace(-2, 2, steps, dtype=np.float32)
    w1, w2, b = (tt.tensor(axis.ravel()) for axis in np.meshgrid(grid, grid, grid))
    answers = INPUTS @ tt.stack([w1, w2]) + b > 0  # (4, lines)
    return int((answers == (TARGETS > 0.5)).sum(0).max())


def fit(model, optimizer, inputs, targets, epochs):
    """Full-batch gradient descent, one step an epoch; yields the loss of each."""
    for _ in epochs:
        loss = F.binary_cross_entropy_with_logits(model(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


def train(run):
    inputs, targets = INPUTS.to(run.device), TARGETS.to(run.device)

    tt.manual_seed(run.seeds[0])
    single = nn.Linear(2, 1).to(run.device)
    optimizer = optim.Adam(single.parameters(), lr=0.05)
    *_, loss = fit(single, optimizer, inputs, targets, range(run.epoch_count))
    line = best_line()
    print(f"One layer, trained: loss {loss:.3f}, and log 2 = 0.693 is what guessing costs.")
    print(f"The best of 68,921 lines gets {line} of the 4 answers right, {line / 4:.0%}. No line gets all:")
    print("b <= 0, w1 + b > 0, w2 + b > 0 add up to w1 + w2 + b > -b >= 0; (1, 1) needs w1 + w2 + b <= 0.")

    failures = []
    for seed in run.seeds:
        tt.manual_seed(seed)
        model = nn.Sequential(nn.Linear(2, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1)).to(run.device)
        optimizer = optim.Adam(model.parameters(), lr=0.05)
        epochs = run.epochs(seed, model=model, optimizer=optimizer)
        for loss in fit(model, optimizer, inputs, targets, epochs):
            run.log(seed, loss=loss)
        if right(model, inputs, targets) < 4:
            failures.append(seed)
    solved = len(run.seeds) - len(failures)
    print(f"\nTwo layers: {solved} of {len(run.seeds)} seeds end with 4 of 4 right.")
    if failures:
        print(f"Stuck: seed {', '.join(map(str, failures))}, in a valley that leads nowhere.")

    run.draw(run.curves("loss", "loss"))
    share = 100 * solved / len(run.seeds)
    return Receipt(
        metric="seeds for which two layers solve XOR (%)",
        value=share,
        bar=95.0,
        passed=share >= 95 and line == 3,
        parameters=sum(p.numel() for p in model.parameters()),
        samples=4 * run.epoch_count * len(run.seeds),
        data="the four cases of exclusive or",
    )


if __name__ == "__main__":
    Run(
        __file__,
        number=2,
        about="One layer fails on exclusive or; a hidden layer of eight solves it. The bar: 19 of 20 seeds.",
        takes="a few seconds",
        epochs=300,
        seeds=20,
    ).main(train)

"""M01, 1957: the perceptron, a machine that learns a line from its mistakes.

Frank Rosenblatt's rule (Psychological Review 65, 1958, https://doi.org/10.1037/h0042519): answer by the sign
of w·x + b; after a wrong answer, and only then, add the example to the weights, with the sign of its label.
If some line separates the data with margin γ, and R is the largest norm of an input, the rule makes at most
(R/γ)² mistakes, ever (Novikoff 1962). This script counts them. Then it finds a line the modern way, with a
Linear layer, a loss and gradient descent, and last it gives both some data that no line separates.

    python milestones/01_1957_perceptron/perceptron.py
"""

import sys
from math import erf, sqrt
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import Receipt, Run

import tinytorch as tt
from tinytorch import nn, optim
from tinytorch.nn import functional as F

POINTS, MARGIN = 200, 0.1


def separable(n, rng):
    """n points of [-1, 1]², their labels -1 and 1, and the b of a line MARGIN away from all of them."""
    angle, b = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 0.3)
    w = np.array([np.cos(angle), np.sin(angle)])
    x = rng.uniform(-1, 1, (8 * n, 2))
    distance = x @ w + b
    keep = np.flatnonzero(np.abs(distance) > MARGIN)[:n]
    return tt.tensor(x[keep]).float(), tt.tensor(np.sign(distance[keep])).float(), b


def overlapping(n, rng):
    """n points of two normal clouds around (-1, 0) and (1, 0), and their labels."""
    y = np.repeat([-1.0, 1.0], n // 2)
    x = rng.standard_normal((len(y), 2))
    x[:, 0] += y
    order = rng.permutation(len(y))
    return tt.tensor(x[order]).float(), tt.tensor(y[order]).float()


def rosenblatt(x, y, epochs):
    """The rule of 1957, until an epoch passes without a mistake: (w, b, mistakes of each epoch)."""
    w, b, mistakes = tt.zeros(2), 0.0, []
    for _ in range(epochs):
        wrong = 0
        for example, label in zip(x, y.tolist(), strict=True):
            if label * ((w @ example).item() + b) <= 0:
                w, b, wrong = w + label * example, b + label, wrong + 1
        mistakes.append(wrong)
        if not wrong:
            break
    return w, b, mistakes


def percent_right(w, b, x, y):
    return 100 * ((x @ w + b) * y > 0).float().mean().item()


def train(run):
    rule, modern = [], []
    for seed in run.seeds:
        tt.manual_seed(seed)
        rng = np.random.default_rng(seed)
        x, y, b = separable(POINTS + 1000, rng)
        x, y, unseen_x, unseen_y = x[:POINTS], y[:POINTS], x[POINTS:], y[POINTS:]

        w, threshold, mistakes = rosenblatt(x, y, run.epoch_count)
        # The bias is one more weight, whose input is always 1: R² grows by 1, and γ shrinks as w grows by b.
        bound = ((x**2).sum(1) + 1).max().item() * (1 + b * b) / MARGIN**2
        rule.append(percent_right(w, threshold, unseen_x, unseen_y))

        model = nn.Linear(2, 1).to(run.device)
        optimizer = optim.SGD(model.parameters(), lr=5.0)
        inputs, targets = x.to(run.device), (y > 0).float().to(run.device)
        for _ in run.epochs(seed, model=model, optimizer=optimizer):
            loss = F.binary_cross_entropy_with_logits(model(inputs)[:, 0], targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.log(seed, loss=loss.item())
        weight, bias = model.weight.detach().cpu()[0], model.bias.item()
        modern.append(percent_right(weight, bias, unseen_x, unseen_y))
        print(
            f"seed {seed}: {sum(mistakes)} mistakes (at most {bound:.0f}) in {len(mistakes)} epochs; "
            f"unseen points {rule[-1]:.1f} %, by gradient descent {modern[-1]:.1f} %"
        )

    def picture(axes):
        for label, marker in ((-1, "o"), (1, "+")):
            axes.scatter(*x.numpy()[y.numpy() == label].T, c="gray", marker=marker, label=f"label {label}")
        across = np.array([-1.0, 1.0])
        lines = (w, threshold, "Rosenblatt's rule"), (weight, bias, "gradient descent")
        for slope, offset, name in lines:
            axes.plot(across, -(slope[0].item() * across + offset) / slope[1].item(), label=name)
        axes.set(xlim=(-1, 1), ylim=(-1, 1), aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
        axes.figure.legend(loc="outside right upper")

    run.draw(picture)
    show_failure(run)
    return Receipt(
        metric="accuracy on separable data, lower of the two (%)",
        value=min(np.mean(rule), np.mean(modern)),
        bar=99.0,
        parameters=3,
        samples=POINTS * run.epoch_count * len(run.seeds),
        data=f"{POINTS} points a seed, margin {MARGIN}, and 1,000 unseen ones",
    )


def show_failure(run):
    """Two clouds that overlap: the rule never comes to rest."""
    x, y = overlapping(400, np.random.default_rng(run.seeds[0]))
    reached = []
    for epochs in range(1, 11):
        w, b, mistakes = rosenblatt(x, y, epochs)
        reached.append(percent_right(w, b, x, y))
    best = 50 * (1 + erf(1 / sqrt(2)))
    print(
        f"\nTwo clouds that overlap: no line separates them. In epoch {len(mistakes)} the rule still makes\n"
        f"{mistakes[-1]} mistakes in {len(x)} points, and where it stops is luck: after 1 to 10 epochs it\n"
        f"is right for {min(reached):.0f} to {max(reached):.0f} %. The best line is right for {best:.0f} %."
    )


if __name__ == "__main__":
    Run(
        __file__,
        number=1,
        about="Rosenblatt's rule and gradient descent each learn a line from 200 points; the bar is 99 %.",
        takes="a few seconds",
        epochs=100,
        seeds=5,
    ).main(train)

"""M05, 2017, first part: attention reverses a sequence, and the same network without attention can't.

Ashish Vaswani and colleagues (2017, https://arxiv.org/abs/1706.03762) translated with attention alone: every
position looks at all others, and learns where. To reverse a sequence, position i has to look at position
T - 1 - i and nowhere else. So reversal proves that attention works, and the map of what is looked at shows
how: it is the other diagonal. The digits are random, a new batch at each step; there is nothing to remember.

    python milestones/05_2017_transformer/attention.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import Receipt, Run

import tinytorch as tt
from tinytorch import nn, optim
from tinytorch.core.embeddings import LearnedPositions
from tinytorch.nn import functional as F

DIGITS, LENGTH, WIDTH, BATCH, STEPS, RATE, HELD_OUT = 10, 24, 32, 64, 20, 0.003, 1000


class Reverser(nn.Module):
    """One transformer block: digits (N, T) to logits (N, T, 10) for the digits of the reversed sequence."""

    def __init__(self, attends=True):
        super().__init__()
        self.digits = nn.Embedding(DIGITS, WIDTH)
        self.positions = LearnedPositions(LENGTH, WIDTH)
        self.attention = nn.MultiheadAttention(WIDTH, 1, batch_first=True) if attends else None
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))
        self.head = nn.Linear(WIDTH, DIGITS)

    def forward(self, sequences, need_weights=False):
        x = self.digits(sequences) + self.positions(LENGTH)  # (N, T, C)
        weights = None
        if self.attention is not None:
            normed = self.norm1(x)
            found, weights = self.attention(normed, normed, normed, need_weights=need_weights)
            x = x + found
        x = x + self.mlp(self.norm2(x))
        logits = self.head(x)  # (N, T, 10)
        return (logits, weights) if need_weights else logits


def sequences(count, device, generator=None):
    """Random digits (count, T), and the same reversed."""
    digits = tt.randint(0, DIGITS, (count, LENGTH), generator=generator).to(device)
    return digits, digits.flip(1)


def percent_right(model, digits, reversed_digits):
    """How many percent of the sequences are right throughout, and of the single digits."""
    model.eval()
    with tt.no_grad():
        right = model(digits).argmax(2) == reversed_digits  # (N, T)
    return 100 * right.all(1).float().mean().item(), 100 * right.float().mean().item()


def train(run):
    held_out = sequences(HELD_OUT, run.device, tt.Generator().manual_seed(1_000_000 + run.seeds[0]))
    reversed_exactly, blind_digits = [], []
    for seed in run.seeds:
        tt.manual_seed(seed)
        model, blind = Reverser().to(run.device), Reverser(attends=False).to(run.device)
        optimizers = [optim.Adam(m.parameters(), lr=RATE) for m in (model, blind)]
        parts = {"model": model, "blind": blind, "optimizer": optimizers[0], "blind_optimizer": optimizers[1]}
        for _ in run.epochs(seed, **parts):
            losses = [0.0, 0.0]
            for _ in range(STEPS):
                digits, reversed_digits = sequences(BATCH, run.device)  # new ones: nothing to remember
                for i, network in enumerate((model, blind)):
                    loss = F.cross_entropy(network(digits).reshape(-1, DIGITS), reversed_digits.reshape(-1))
                    optimizers[i].zero_grad()
                    loss.backward()
                    optimizers[i].step()
                    losses[i] += loss.item() / STEPS
            run.log(seed, loss=losses[0], without_attention=losses[1])
        exact, digits_right = percent_right(model, *held_out)
        blind_exact, blind_right = percent_right(blind, *held_out)
        reversed_exactly.append(exact)
        blind_digits.append(blind_right)
        print(
            f"seed {seed}: {exact:.1f} % of {HELD_OUT:,} new sequences ({digits_right:.1f} % of the digits), "
            f"without attention {blind_exact:.1f} % ({blind_right:.1f} %)"
        )
    digits, answer = (x[:1] for x in held_out)
    with tt.no_grad():
        said = model(digits).argmax(2)
    print(f"\n{as_text(digits)} is read, {as_text(said)} is said, {as_text(answer)} is right.")

    run.draw(lambda axes: attention_map(axes, model, held_out[0]))
    return Receipt(
        metric="reversed exactly, worst seed (%)",
        value=min(reversed_exactly),
        bar=99.0,
        parameters=sum(p.numel() for p in model.parameters()),
        samples=2 * BATCH * STEPS * run.epoch_count * len(run.seeds),
        data=f"random: {LENGTH} digits each, new ones at every step",
        notes=[f"Without attention: {max(blind_digits):.1f} % of the digits at best. Chance is 10 %."],
    )


def as_text(digits):
    return "".join(map(str, digits[0].tolist()))


def attention_map(axes, model, digits):
    """Draw how much each output position looks at each input position, mean of the sequences."""
    with tt.no_grad():
        weights = model(digits, need_weights=True)[1].mean(0)  # (T, T)
    image = axes.imshow(weights.to("cpu").numpy(), cmap="Blues", vmin=0)
    axes.figure.colorbar(image, ax=axes, label="attention")
    axes.set(xlabel="looks at input position", ylabel="output position")


if __name__ == "__main__":
    Run(
        __file__,
        number=5,
        about=f"Attention reverses {LENGTH} digits. The bar is 99 % of new sequences, in every seed.",
        takes="about 10 seconds",
        epochs=15,
        seeds=3,
    ).main(train)

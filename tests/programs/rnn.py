"""A plain recurrent cell and an LSTM cell, written by hand and unrolled in time, on a task of memory."""

import sys

import numpy as np
import torch
from torch import nn, optim

dtype = torch.float64 if "--double" in sys.argv else torch.float32
LENGTH, HIDDEN, CLASSES = 10, 24, 4


class RNNCell(nn.Module):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh)."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.ih, self.hh = nn.Linear(input_size, hidden_size), nn.Linear(hidden_size, hidden_size)

    def start(self, x):
        return (torch.zeros(x.size(1), self.hidden_size, dtype=x.dtype, device=x.device),)

    def forward(self, x, state):
        h = torch.tanh(self.ih(x) + self.hh(state[0]))
        return h, (h,)


class LSTMCell(nn.Module):
    """Hochreiter and Schmidhuber 1997, with a forget gate; the four gates come from one product."""

    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.hidden_size = hidden_size
        self.weight_ih = nn.Parameter(torch.empty(4 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(4 * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.zeros(4 * hidden_size))
        for weight in (self.weight_ih, self.weight_hh):
            nn.init.xavier_uniform_(weight)

    def start(self, x):
        zeros = torch.zeros(x.size(1), self.hidden_size).to(x)
        return zeros, zeros.clone()

    def forward(self, x, state):
        h, c = state
        gates = x @ self.weight_ih.t() + h.matmul(self.weight_hh.T) + self.bias
        i, f, g, o = gates.chunk(4, dim=1)
        c = torch.sigmoid(f + 1) * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * torch.tanh(c)
        return h, (h, c)


class Tagger(nn.Module):
    """An answer for each time step: (time, batch, in) -> (time, batch, classes)."""

    def __init__(self, cell, classes):
        super().__init__()
        self.cell = cell
        self.out = nn.Linear(cell.hidden_size, classes)

    def forward(self, x, state=None):
        state = self.cell.start(x) if state is None else state
        outputs = []
        for x_t in x.unbind(0):
            h, state = self.cell(x_t, state)
            outputs.append(h)
        return self.out(torch.stack(outputs, dim=0)), state


def batch(rng, n=32):
    """A symbol and then silence: at every later step the answer is the symbol of the beginning."""
    symbols = torch.from_numpy(rng.integers(0, CLASSES, n))
    x = torch.from_numpy(0.1 * rng.standard_normal((LENGTH, n, CLASSES))).to(dtype)
    first = nn.functional.one_hot(symbols, CLASSES).to(dtype)
    x = torch.cat([(x[0] + first).unsqueeze(0), x[1:]])
    return x, symbols.expand(LENGTH, n)


def train(cell, seed, steps=60):
    rng = np.random.default_rng(seed)
    model = Tagger(cell, CLASSES).to(dtype)
    with torch.no_grad():
        for p in model.parameters():
            p.uniform_(-0.1, 0.1)
            p.copy_(torch.tensor(rng.uniform(-0.3, 0.3, tuple(p.shape))))
    optimizer = optim.RMSprop(model.parameters(), lr=5e-3, alpha=0.95)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.99)
    losses = []
    for _ in range(steps):
        x, y = batch(rng)
        logits, _ = model(x)
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), y.reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        scheduler.step()
        losses.append(loss.item())
    with torch.no_grad():
        x, y = batch(rng, 200)
        logits, state = model(x)
        accuracy = (logits[-1].argmax(-1) == y[-1]).float().mean().item()
        first, middle = model(x[:4])  # in two parts, with the state handed on, it is the same
        second, _ = model(x[4:], middle)
        gap = (torch.cat([first, second]) - logits).abs().max().item()
    return losses, accuracy, gap, state[0].norm().item()


figures = {}
for name, cell in (("RNN", RNNCell(CLASSES, HIDDEN)), ("LSTM", LSTMCell(CLASSES, HIDDEN))):
    losses, accuracy, gap, norm = train(cell, seed=0)
    assert gap < 1e-5
    figures.update({f"{name}: losses": losses, f"{name}: accuracy": accuracy, f"{name}: state": norm})
    print(f"{name:4} loss {losses[0]:.3f} -> {losses[-1]:.3f}, known at the end: {accuracy:.3f}")

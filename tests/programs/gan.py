"""Two networks against each other: a generator learns a ring of points. Goodfellow et al. 2014,
https://arxiv.org/abs/1406.2661.
"""

import sys
from itertools import pairwise

import numpy as np
import torch
from torch import nn

dtype = torch.float64 if "--double" in sys.argv else torch.float32
rng = np.random.default_rng(0)
Z, BATCH = 4, 64


def mlp(sizes, activation):
    layers = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), activation()]
    return nn.Sequential(*layers[:-1])


def weights_init(m):
    if type(m) is nn.Linear:
        m.weight.data = torch.tensor(
            rng.normal(0, 1.2 / m.in_features**0.5, (m.out_features, m.in_features)), dtype=dtype
        )
        m.bias.data.fill_(0)


def ring(n):
    angle = rng.uniform(0, 2 * np.pi, n)
    radius = 1 + 0.05 * rng.standard_normal(n)
    return torch.from_numpy(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)).to(dtype)


def noise(n):
    return torch.from_numpy(rng.standard_normal((n, Z))).to(dtype)


generator = mlp([Z, 32, 32, 2], nn.Tanh).apply(weights_init).to(dtype)
discriminator = mlp([2, 32, 32, 1], lambda: nn.LeakyReLU(0.2, inplace=True)).apply(weights_init).to(dtype)
criterion = nn.BCEWithLogitsLoss()
optimizer_d = torch.optim.Adam(discriminator.parameters(), lr=4e-3, betas=(0.5, 0.999))
optimizer_g = torch.optim.Adam(generator.parameters(), lr=2e-3, betas=(0.5, 0.999))
real_label, fake_label = 1.0, 0.0


def off_the_ring(points):
    """The mean distance of the points from the circle with radius 1."""
    return (points.norm(dim=1) - 1).abs().mean().item()


with torch.no_grad():
    before = off_the_ring(generator(noise(500)))
losses_d, losses_g = [], []
for _ in range(400):
    # The discriminator: log D(x) + log(1 - D(G(z))), in two backward passes.
    discriminator.zero_grad()
    real = ring(BATCH)
    label = torch.full((BATCH,), real_label, dtype=dtype)
    loss_real = criterion(discriminator(real).view(-1), label)
    loss_real.backward()
    fake = generator(noise(BATCH))
    loss_fake = criterion(discriminator(fake.detach()).view(-1), label.fill_(fake_label))
    loss_fake.backward()
    optimizer_d.step()
    # The generator: log D(G(z)), through a discriminator that is frozen meanwhile.
    generator.zero_grad()
    for p in discriminator.parameters():
        p.requires_grad = False
    loss_g = criterion(discriminator(fake).squeeze(1), torch.ones_like(label))
    loss_g.backward()
    optimizer_g.step()
    for p in discriminator.parameters():
        p.requires_grad_(True)
    losses_d.append((loss_real + loss_fake).item())
    losses_g.append(loss_g.item())

generator.eval()
with torch.no_grad():
    points = generator(noise(500))
    after = off_the_ring(points)
    side = [((points[:, 0] > 0) & (points[:, 1] > 0)).sum().item(), (points < 0).all(dim=1).sum().item()]
print(f"off the ring: {before:.3f} -> {after:.3f}; D {losses_d[-1]:.3f} G {losses_g[-1]:.3f}; {side}")
figures = {"D": losses_d, "G": losses_g, "before": before, "after": after, "quadrants": side}

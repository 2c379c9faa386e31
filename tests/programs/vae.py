"""A variational autoencoder of 8x8 pictures of crosses: Kingma and Welling 2013, https://arxiv.org/abs/1312.6114."""

import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

dtype = torch.float64 if "--double" in sys.argv else torch.float32
rng = np.random.default_rng(0)


def crosses(n):
    """Pictures with one bright row and one bright column."""
    rows, columns = np.eye(8)[rng.integers(0, 8, (2, n))]
    return torch.from_numpy(np.maximum(rows[:, :, None], columns[:, None, :])).to(dtype)


class VAE(nn.Module):
    def __init__(self, pixels=64, hidden=64, latent=6):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(pixels, hidden), nn.Tanh())
        self.fc_mu = nn.Linear(hidden, latent)
        self.fc_logvar = nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, pixels), nn.Unflatten(1, (8, 8))
        )

    def encode(self, x):
        h = self.encoder(x)
        return self.fc_mu(h), self.fc_logvar(h).clamp(min=-8.0, max=8.0)

    def reparameterize(self, mu, logvar):
        if not self.training:
            return mu
        std = torch.exp(0.5 * logvar)
        eps = torch.from_numpy(rng.standard_normal(std.shape)).to(std)
        return eps.mul(std).add_(mu)

    def forward(self, x):
        mu, logvar = self.encode(x)
        return self.decoder(self.reparameterize(mu, logvar)), mu, logvar


def elbo(logits, x, mu, logvar):
    """Reconstruction and divergence from the prior N(0, 1), each summed over a picture, as batch means."""
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="sum") / x.size(0)
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1).mean()
    return bce, kld


data = crosses(512)
loader = DataLoader(TensorDataset(data), batch_size=64, shuffle=False)
model = VAE().to(dtype)
for parameter in model.parameters():
    scale = parameter.shape[-1] ** -0.5 if parameter.ndim > 1 else 0.0
    parameter.data.copy_(torch.tensor(rng.uniform(-scale, scale, tuple(parameter.shape))))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)

losses, divergences = [], []
model.train()
for epoch in range(20):
    beta = min(1.0, (epoch + 1) / 10)
    for (x,) in loader:
        logits, mu, logvar = model(x)
        bce, kld = elbo(logits, x, mu, logvar)
        loss = bce + beta * kld
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        divergences.append(kld.detach().item())

model.eval()
with torch.no_grad():
    logits, mu, logvar = model(data)
    reconstructed = torch.sigmoid(logits)
    wrong = ((reconstructed > 0.5) != (data > 0.5)).to(dtype).mean()
    samples = torch.sigmoid(model.decoder(torch.randn(16, 6, dtype=dtype)))
    path = torch.stack([torch.lerp(mu[0], mu[1], w) for w in torch.linspace(0, 1, 5).tolist()])
    between = torch.sigmoid(model.decoder(path))
print(f"loss {losses[0]:.2f} -> {losses[-1]:.2f}, KL {divergences[-1]:.2f}, wrong pixels {wrong:.3f}")
figures = {
    "losses": losses,
    "divergences": divergences,
    "wrong pixels": wrong.item(),
    "means": mu.std(dim=0).tolist(),
    "between": between.flatten(1).mean(dim=1).tolist(),
    "bright": data.mean().item(),
}
assert tuple(samples.shape) == (16, 8, 8)
assert ((samples > 0) & (samples < 1)).all()

"""Denoising with a convolutional autoencoder, once with transposed convolutions and once with upsampling."""

import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

dtype = torch.float64 if "--double" in sys.argv else torch.float32


class Encoder(nn.Sequential):
    def __init__(self, channels):
        super().__init__(
            nn.Conv2d(1, channels, 3, stride=2, padding=1),
            nn.ELU(),
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
            nn.GroupNorm(2, 2 * channels),
            nn.ELU(),
        )


class Transposed(nn.Module):
    """Up by transposed convolutions: Zeiler et al. 2010."""

    def __init__(self, channels=6):
        super().__init__()
        self.encoder = Encoder(channels)
        self.up1 = nn.ConvTranspose2d(
            2 * channels, channels, kernel_size=3, stride=2, padding=1, output_padding=1
        )
        self.up2 = nn.ConvTranspose2d(channels, 1, kernel_size=4, stride=2, padding=1)

    def forward(self, x):
        h = F.elu(self.up1(self.encoder(x)))
        return self.up2(h)


class Upsampled(nn.Module):
    """Up by repeating pixels, then an ordinary convolution, which leaves no checkerboard."""

    def __init__(self, channels=6):
        super().__init__()
        self.encoder = Encoder(channels)
        self.decoder = nn.Sequential(
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.ZeroPad2d(1),
            nn.Conv2d(2 * channels, channels, 3),
            nn.LeakyReLU(0.1),
            nn.Upsample(scale_factor=2),
            nn.Conv2d(channels, 1, 3, padding=1),
        )

    def forward(self, x):
        return self.decoder(self.encoder(x))


def blobs(rng, n, size=12):
    """Pictures of two soft round spots, and the same with noise."""
    i, j = np.mgrid[:size, :size]
    centre = rng.uniform(2, size - 3, (2, 2, n, 1, 1))
    spots = np.exp(-((i - centre[0]) ** 2 + (j - centre[1]) ** 2) / 4).sum(axis=0)
    clean = np.clip(spots, 0, 1)[:, None]
    noisy = clean + 0.3 * rng.standard_normal(clean.shape)
    return torch.tensor(clean, dtype=dtype), torch.tensor(noisy, dtype=dtype)


def fans(weight):
    return int(np.prod(weight.shape[1:])) if weight.dim() > 1 else 1


def train(model, seed, steps=50):
    rng = np.random.default_rng(seed)
    model = model.to(dtype)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1:
                p.copy_(torch.from_numpy(rng.normal(0, fans(p) ** -0.5, tuple(p.shape))))
            elif name.endswith("bias"):
                nn.init.zeros_(p)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-5)
    losses = []
    for _ in range(steps):
        clean, noisy = blobs(rng, 32)
        out = model(noisy)
        loss = F.mse_loss(out, clean) + 0.1 * F.smooth_l1_loss(out, clean)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
    with torch.inference_mode():
        clean, noisy = blobs(rng, 64)
        out = model.eval()(noisy)
        before, after = F.mse_loss(noisy, clean).item(), F.mse_loss(out, clean).item()
    return losses, before, after, out.shape


figures = {}
for name, model in (("transposed", Transposed()), ("upsampled", Upsampled())):
    losses, before, after, shape = train(model, seed=0)
    assert tuple(shape) == (64, 1, 12, 12)
    print(f"{name:10} loss {losses[0]:.3f} -> {losses[-1]:.3f}, error {before:.4f} -> {after:.4f}")
    figures.update(
        {
            f"{name}: losses": losses,
            f"{name}: noise": before,
            f"{name}: error": after,
            f"{name}: parameters": sum(p.numel() for p in model.parameters()),
        }
    )

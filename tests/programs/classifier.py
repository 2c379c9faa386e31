"""Two spirals told apart: a training script with a data set of its own, schedules and checkpoints."""

import os
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn, optim
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR, SequentialLR, StepLR
from torch.utils.data import DataLoader, Dataset, Sampler, Subset

dtype = torch.float64 if "--double" in sys.argv else torch.float32
device = torch.device("cuda" if torch.cuda.is_available() and "--gpu" in sys.argv else "cpu")
EPOCHS = 8


class Spirals(Dataset):
    def __init__(self, n, seed):
        rng = np.random.default_rng(seed)
        self.labels = np.arange(n) % 2
        angle = rng.uniform(0.5, 2.0, n) * np.pi
        radius = angle / 6 + 0.05 * rng.standard_normal(n)
        turned = angle + np.pi * self.labels
        self.points = np.stack([radius * np.cos(turned), radius * np.sin(turned)], axis=1)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, i):
        return torch.tensor(self.points[i], dtype=dtype), int(self.labels[i])


class Shuffled(Sampler):
    """A new order each epoch, the same in every run."""

    def __init__(self, n, seed):
        self.n, self.rng = n, np.random.default_rng(seed)

    def __len__(self):
        return self.n

    def __iter__(self):
        return iter(self.rng.permutation(self.n).tolist())


class Residual(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width, bias=False)
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return x + self.scale * self.fc2(F.silu(self.fc1(x)))


class Classifier(nn.Module):
    def __init__(self, width=32, depth=2, classes=2):
        super().__init__()
        self.stem = nn.Linear(2, width)
        self.blocks = nn.ModuleList([Residual(width) for _ in range(depth)])
        self.head = nn.Sequential(nn.Tanh(), nn.Dropout(p=0.0), nn.Linear(width, classes))

    def forward(self, x):
        x = F.silu(self.stem(3 * x))
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def new_model(seed):
    rng = np.random.default_rng(seed)
    weights = {}
    for name, value in Classifier().state_dict().items():
        spread = 1.0 if name.endswith("scale") else 1 / np.sqrt(value.shape[-1])
        weights[name] = torch.as_tensor(rng.normal(0, spread, tuple(value.shape)))
    model = Classifier().to(dtype)
    model.load_state_dict(weights)
    return model.to(device)


def new_optimizer(model):
    return optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4, nesterov=True)


def new_schedule(name, optimizer, steps):
    if name == "step":
        return StepLR(optimizer, step_size=steps // 3, gamma=0.3)
    if name == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps, eta_min=1e-3)
    if name == "one cycle":
        return OneCycleLR(optimizer, max_lr=0.1, total_steps=steps, pct_start=0.25)
    warmup = LinearLR(optimizer, start_factor=0.1, total_iters=20)
    return SequentialLR(optimizer, [warmup, CosineAnnealingLR(optimizer, T_max=steps - 20)], milestones=[20])


@torch.no_grad()
def evaluate(model, loader):
    model.eval()
    loss, correct, seen = 0.0, 0, 0
    for x, y in loader:
        x, y = x.to(device), y.to(device)
        logits = model(x)
        loss += F.cross_entropy(logits, y, reduction="sum").item()
        correct += (logits.argmax(dim=1) == y).sum().item()
        seen += y.size(0)
    return loss / seen, correct / seen


def train(name, seed=0):
    data = Spirals(480, seed)
    training, held_out = Subset(data, range(400)), Subset(data, range(400, 480))
    loader = DataLoader(training, batch_size=50, sampler=Shuffled(400, seed), drop_last=True)
    steps = EPOCHS * len(loader)
    model = new_model(seed)
    optimizer = new_optimizer(model)
    scheduler = new_schedule(name, optimizer, steps)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.01)
    losses, rates = [], []
    for epoch in range(EPOCHS):
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(model(x.to(device)), y.to(device))
            loss.backward()
            optimizer.step()
            scheduler.step()
            losses.append(loss.item())
            rates.append(scheduler.get_last_lr()[0])
        if epoch == EPOCHS // 2:  # others, built anew, go on from what is on the disk
            parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "checkpoint.pt")
                torch.save({"epoch": epoch, **{key: part.state_dict() for key, part in parts.items()}}, path)
                checkpoint = torch.load(path)
            model = new_model(seed + 1)
            optimizer = new_optimizer(model)
            scheduler = new_schedule(name, optimizer, steps)
            model.load_state_dict(checkpoint["model"])
            optimizer.load_state_dict(checkpoint["optimizer"])
            scheduler.load_state_dict(checkpoint["scheduler"])
            assert checkpoint["epoch"] == epoch
    loss, accuracy = evaluate(model, DataLoader(held_out, batch_size=32))
    return {"losses": losses, "rates": rates, "held-out loss": loss, "accuracy": accuracy}


figures = {}
for name in ("step", "cosine", "one cycle", "warmup"):
    for figure, value in train(name).items():
        figures[f"{name}: {figure}"] = value
    print(
        f"{name:10} loss {figures[f'{name}: held-out loss']:.4f} accuracy {figures[f'{name}: accuracy']:.3f}"
    )

"""M04, 1998, first part: a convolutional network reads 8x8 digits better than an MLP of its size.

Yann LeCun and colleagues (Proc. IEEE 86, 1998, https://doi.org/10.1109/5.726791) built into the network that
pixels have neighbours: small kernels that are the same everywhere. Both networks here have about 4,500
parameters, the same data, the same optimizer and the same number of epochs. TinyDigits ships with TinyTorch
(drawn from UCI Optical Recognition of Handwritten Digits, Alpaydin and Kaynak 1998, CC BY 4.0).

    python milestones/04_1998_cnn/digits.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import Receipt, Run

import tinytorch as tt
from tinytorch import nn, optim
from tinytorch.datasets import load_tinydigits
from tinytorch.nn import functional as F
from tinytorch.utils.data import DataLoader, TensorDataset


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 60), nn.ReLU(), nn.Linear(60, 10))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12), nn.ReLU(),  # (N, 12, 8, 8)
        nn.Conv2d(12, 16, 3, padding=1, bias=False),  # (N, 16, 8, 8)
        nn.MaxPool2d(2), nn.BatchNorm2d(16), nn.ReLU(),  # (N, 16, 4, 4)
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


def digits(split, device):
    """A data set of images (N, 1, 8, 8) with values from 0 to 1, and their labels."""
    images, labels = load_tinydigits(split)
    return TensorDataset((tt.tensor(images[:, None]).float() / 16).to(device), tt.tensor(labels).to(device))


def percent_right(model, dataset):
    model.eval()
    with tt.no_grad():
        images, labels = dataset.tensors
        return 100 * (model(images).argmax(1) == labels).float().mean().item()


def fit_one_epoch(model, optimizer, loader):
    """Returns the mean loss."""
    model.train()
    total = 0.0
    for images, labels in loader:
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    return total / len(loader)


def train(run):
    training, test = digits("train", run.device), digits("test", run.device)
    of_mlp, of_cnn = [], []
    for seed in run.seeds:
        tt.manual_seed(seed)
        loader = DataLoader(training, batch_size=50, shuffle=True)
        flat, spatial = mlp().to(run.device), cnn().to(run.device)
        adam_flat, adam_spatial = (optim.Adam(model.parameters(), lr=0.01) for model in (flat, spatial))
        for _ in run.epochs(seed, mlp=flat, cnn=spatial, adam_mlp=adam_flat, adam_cnn=adam_spatial):
            losses = fit_one_epoch(flat, adam_flat, loader), fit_one_epoch(spatial, adam_spatial, loader)
            run.log(seed, mlp=losses[0], cnn=losses[1])
        of_mlp.append(percent_right(flat, test))
        of_cnn.append(percent_right(spatial, test))
        print(f"seed {seed}: MLP {of_mlp[-1]:.1f} %, CNN {of_cnn[-1]:.1f} % of {len(test)} unseen digits")

    by_mlp, by_cnn = sum(of_mlp) / len(of_mlp), sum(of_cnn) / len(of_cnn)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (flat, spatial)]
    run.draw(run.curves("cnn", "training loss of the CNN"))
    return Receipt(
        metric="TinyDigits test accuracy of the CNN (%)",
        value=by_cnn,
        bar=95.0,
        passed=by_cnn >= 95 and by_cnn > by_mlp,
        parameters=sizes[1],
        samples=2 * len(training) * run.epoch_count * len(run.seeds),
        data="TinyDigits: 1,000 train, 200 test, 8x8 grey",
        notes=[f"The MLP with {sizes[0]:,} parameters reads {by_mlp:.2f} %, after as many epochs."],
    )


if __name__ == "__main__":
    Run(
        __file__,
        number=4,
        about="A CNN and an MLP of its size learn TinyDigits. The CNN has to reach 95 % and beat the MLP.",
        takes="a few seconds",
        epochs=10,
        seeds=5,
    ).main(train)

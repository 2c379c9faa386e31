"""M03, 1986, first part: a network with a hidden layer learns to read 8x8 digits, in seconds.

David Rumelhart, Geoffrey Hinton and Ronald Williams (Nature 323, 1986, https://doi.org/10.1038/323533a0)
trained hidden layers by sending the error backwards through the network. TinyDigits ships with TinyTorch:
1,000 digits to train on and 200 to test (drawn from UCI Optical Recognition of Handwritten Digits, Alpaydin
and Kaynak 1998, CC BY 4.0).

    python milestones/03_1986_mlp/tinydigits.py
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


def digits(split, device):
    """A data set of images with values from 0 to 1, and their labels."""
    images, labels = load_tinydigits(split)
    return TensorDataset((tt.tensor(images).float() / 16).to(device), tt.tensor(labels).to(device))


def percent_right(model, dataset):
    model.eval()
    with tt.no_grad():
        images, labels = dataset.tensors
        return 100 * (model(images).argmax(1) == labels).float().mean().item()


def train(run):
    training, test = digits("train", run.device), digits("test", run.device)
    accuracies = []
    for seed in run.seeds:
        tt.manual_seed(seed)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)).to(run.device)
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        loader = DataLoader(training, batch_size=50, shuffle=True)
        for _ in run.epochs(seed, model=model, optimizer=optimizer):
            model.train()
            total = 0.0
            for images, labels in loader:
                loss = F.cross_entropy(model(images), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item()
            run.log(seed, loss=total / len(loader))
        accuracies.append(percent_right(model, test))
        print(f"seed {seed}: {accuracies[-1]:.1f} % of {len(test)} unseen digits")

    run.draw(run.curves("loss", "training loss"))
    return Receipt(
        metric="TinyDigits test accuracy (%)",
        value=sum(accuracies) / len(accuracies),
        bar=92.0,
        parameters=sum(p.numel() for p in model.parameters()),
        samples=len(training) * run.epoch_count * len(run.seeds),
        data="TinyDigits: 1,000 train, 200 test, 8x8 grey",
    )


if __name__ == "__main__":
    Run(
        __file__,
        number=3,
        about="A 64-64-10 network learns TinyDigits. The bar is 92 % of the test digits, mean of all seeds.",
        takes="a few seconds",
        epochs=30,
        seeds=5,
    ).main(train)

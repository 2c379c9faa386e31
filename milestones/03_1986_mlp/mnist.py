"""M03, 1986, second part: the same kind of network on MNIST, 70,000 handwritten digits.

Back-propagation (Rumelhart, Hinton and Williams, Nature 323, 1986, https://doi.org/10.1038/323533a0) on the
data by which it was measured for decades (LeCun, Cortes and Burges 1998). The first run downloads 12 MB.
5,000 training digits are held out: they chose the width, the batch size and the learning rate, and they show
how the training goes. The test digits are looked at once, at the end.

    python milestones/03_1986_mlp/mnist.py
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import Receipt, Run

import tinytorch as tt
from tinytorch import nn, optim
from tinytorch.datasets import load_mnist
from tinytorch.nn import functional as F
from tinytorch.utils.data import DataLoader, Normalize, TensorDataset, random_split

HIDDEN, BATCH, RATE, HELD_OUT = 256, 128, 0.005, 5_000
normalize = Normalize(mean=0.1307, std=0.3081)  # of the training images


def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))


def percent_right(model, dataset, device):
    model.eval()
    right = 0
    with tt.no_grad():
        for images, labels in DataLoader(dataset, batch_size=1000, transform=normalize):
            right += int((model(images.to(device)).argmax(1) == labels.to(device)).sum())
    return 100 * right / len(dataset)


def train(run):
    digits = TensorDataset(*load_mnist("train", run.data_dir))
    test = TensorDataset(*load_mnist("test", run.data_dir))
    accuracies = []
    for seed in run.seeds:
        tt.manual_seed(seed)
        training, held_out = random_split(digits, [len(digits) - HELD_OUT, HELD_OUT])
        loader = DataLoader(training, BATCH, shuffle=True, transform=normalize)
        model = network().to(run.device)
        optimizer = optim.Adam(model.parameters())
        schedule = optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=run.epoch_count * len(loader))
        for _ in run.epochs(seed, model=model, optimizer=optimizer, schedule=schedule):
            model.train()
            total = 0.0
            for images, labels in loader:
                loss = F.cross_entropy(model(images.to(run.device)), labels.to(run.device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.item()
            run.log(seed, loss=total / len(loader), held_out=percent_right(model, held_out, run.device))
        accuracies.append(percent_right(model, test, run.device))
        print(f"seed {seed}: {accuracies[-1]:.2f} % of {len(test):,} test digits")

    run.draw(run.curves("held_out", "accuracy on held-out digits (%)"))
    return Receipt(
        metric="MNIST test accuracy (%)",
        value=sum(accuracies) / len(accuracies),
        bar=95.0,
        parameters=sum(p.numel() for p in model.parameters()),
        samples=len(training) * run.epoch_count * len(run.seeds),
        data=f"MNIST: {len(training):,} train, {HELD_OUT:,} held out, {len(test):,} test, 28x28 grey",
    )


if __name__ == "__main__":
    Run(
        __file__,
        number=3,
        about=f"A 784-{HIDDEN}-10 network learns MNIST. The bar is 95 % of the test digits.",
        takes="about 10 seconds a seed",
        epochs=5,
    ).main(train)

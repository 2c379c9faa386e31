"""M04, 1998, second part: a convolutional network tells airplanes from frogs, on 32x32 photographs in colour.

CIFAR-10 (Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html) is 60,000 pictures of ten classes. The
network has six layers with weights. What makes it quick: a first layer of stride 2 whose kernels begin as the
patterns that pictures are made of (Coates and Ng 2012, https://doi.org/10.1007/978-3-642-35289-8_30), batch
normalization, and a learning rate that climbs and falls. 5,000 training pictures are held out; they chose all
settings. The test pictures are looked at once, at the end. The first run downloads 170 MB.

    python milestones/04_1998_cnn/cifar10.py
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import numpy as np
from common import Receipt, Run

import tinytorch as tt
from tinytorch import nn, optim
from tinytorch.core.spatial import TriangularLR
from tinytorch.datasets import CIFAR10_CLASSES, load_cifar10
from tinytorch.nn import functional as F
from tinytorch.utils.data import (
    Compose,
    DataLoader,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    TensorDataset,
    random_split,
)

HELD_OUT, BATCH, RATE, PATTERNS = 5_000, 128, 0.1, 12
normalize = Normalize(mean=(0.491, 0.482, 0.447), std=(0.247, 0.243, 0.262))  # of the training pictures
augment = Compose([RandomCrop(32, padding=2, padding_mode="reflect"), RandomHorizontalFlip(), normalize])


def conv(inputs, outputs, pool=False):
    """Convolution, perhaps pooling, batch normalization, ReLU. Pooling early makes the rest cheaper."""
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return [convolution, *([nn.MaxPool2d(2)] if pool else []), nn.BatchNorm2d(outputs), nn.ReLU()]


def network():
    first = nn.Conv2d(3, 2 * PATTERNS, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(
        first, nn.BatchNorm2d(2 * PATTERNS), nn.ReLU(),  # (N, 24, 16, 16)
        *conv(2 * PATTERNS, 40, pool=True),  # (N, 40, 8, 8)
        *conv(40, 80), *conv(80, 80, pool=True),  # (N, 80, 4, 4)
        *conv(80, 160),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(160, 10),
    )  # fmt: skip


def begin_with_patterns(layer, pictures):
    """The first kernels become the main patterns of 4x4 patches, equally strong, and their negatives."""
    windows = np.lib.stride_tricks.sliding_window_view(normalize(pictures).numpy(), (4, 4), (2, 3))
    patches = windows[:, :, ::2, ::2].transpose(0, 2, 3, 1, 4, 5).reshape(-1, 48)  # (patches, 3*4*4)
    strength, patterns = np.linalg.eigh(patches.T @ patches / len(patches))
    main = (patterns[:, ::-1] / np.sqrt(strength[::-1] + 0.01))[:, :PATTERNS].T.reshape(PATTERNS, 3, 4, 4)
    layer.weight.data = tt.tensor(np.concatenate([main, -main])).float().to(layer.weight.device)


def answers(model, dataset, device):
    """The answer to each picture, from what the network says of it and of its mirror image: (N,)."""
    model.eval()
    given = []
    with tt.no_grad():
        for pictures, _ in DataLoader(dataset, batch_size=500, transform=normalize):
            pictures = pictures.to(device)
            given.append((model(pictures) + model(pictures.flip(3))).argmax(1).cpu().numpy())
    return np.concatenate(given)


def train(run):
    pictures, labels = load_cifar10("train", run.data_dir)
    test_pictures, test_labels = load_cifar10("test", run.data_dir)
    test, accuracies, cpu = TensorDataset(test_pictures, test_labels), [], time.process_time()
    for seed in run.seeds:
        tt.manual_seed(seed)
        data = TensorDataset(pictures, labels)
        training, held_out = random_split(data, [len(data) - HELD_OUT, HELD_OUT])
        held_out_labels = labels[held_out.indices]
        loader = DataLoader(training, BATCH, shuffle=True, drop_last=True, transform=augment)
        model = network().to(run.device)
        begin_with_patterns(model[0], pictures[training.indices[:2000]])
        optimizer = optim.SGD(model.parameters(), lr=RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
        schedule = TriangularLR(optimizer, run.epoch_count * len(loader))
        for _ in run.epochs(seed, model=model, optimizer=optimizer, schedule=schedule):
            model.train()
            total = 0.0
            for images, targets in run.batches(loader):
                output = model(images.to(run.device))
                loss = F.cross_entropy(output, targets.to(run.device), label_smoothing=0.1)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.item()
            right = (answers(model, held_out, run.device) == held_out_labels).mean()
            run.log(seed, loss=total / len(loader), held_out=100 * right)
        given = answers(model, test, run.device)
        accuracies.append(100 * (given == test_labels).mean())
        print(f"seed {seed}: {accuracies[-1]:.2f} % of {len(test):,} test pictures")

    run.draw(mistakes(test_pictures, test_labels, given), size=(9, 4.5))
    return Receipt(
        metric="CIFAR-10 test accuracy (%)",
        value=sum(accuracies) / len(accuracies),
        bar=75.0,
        parameters=sum(p.numel() for p in model.parameters()),
        samples=len(training) * run.epoch_count * len(run.seeds),
        data=f"CIFAR-10: {len(training):,} train, {HELD_OUT:,} held out, {len(test):,} test, 32x32 colour",
        notes=[f"{time.process_time() - cpu:.0f} seconds of processor time, evaluation included."],
    )


def mistakes(pictures, labels, given):
    """For --plot: which class was taken for which, and sixteen pictures that were taken for another."""

    def draw(axes):
        figure = axes.figure
        axes.remove()
        left, right = figure.subfigures(1, 2, width_ratios=(5, 4))
        axes, counts = left.subplots(), np.bincount(10 * labels + given, minlength=100).reshape(10, 10)
        axes.imshow(np.sqrt(counts), cmap="Blues")
        for (i, j), count in np.ndenumerate(counts):
            axes.text(j, i, count, ha="center", va="center", size=7, color="white" if i == j else "black")
        axes.set(xlabel="answer", ylabel="class", xticks=range(10), yticks=range(10))
        axes.set_xticklabels(CIFAR10_CLASSES, rotation=90)
        axes.set_yticklabels(CIFAR10_CLASSES)
        wrong = np.flatnonzero(labels != given)[:16]
        for axes, i in zip(right.subplots(4, 4).flat, wrong, strict=False):
            axes.imshow(pictures[i].transpose(1, 2, 0))
            axes.set_title(CIFAR10_CLASSES[given[i]], size=8)
        for axes in right.axes:
            axes.axis("off")

    return draw


if __name__ == "__main__":
    Run(
        __file__,
        number=4,
        about="A convolutional network learns CIFAR-10. The bar is 75 % of the test pictures.",
        takes="a minute or two a seed",
        epochs=5,
    ).main(train)

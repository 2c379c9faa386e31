"""A residual network that tells the direction of stripes: He et al. 2015, https://arxiv.org/abs/1512.03385."""

import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

dtype = torch.float64 if "--double" in sys.argv else torch.float32


def conv3x3(in_planes, out_planes, stride=1):
    return nn.Conv2d(in_planes, out_planes, kernel_size=3, stride=stride, padding=1, bias=False)


class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, in_planes, planes, stride=1):
        super().__init__()
        self.conv1, self.bn1 = conv3x3(in_planes, planes, stride), nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = conv3x3(planes, planes), nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or in_planes != planes:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_planes, planes, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(planes),
            )

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class ResNet(nn.Module):
    def __init__(self, block, layers, num_classes, in_channels=1):
        super().__init__()
        self.in_planes = 8
        self.conv1 = conv3x3(in_channels, 8)
        self.bn1 = nn.BatchNorm2d(8)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 8, layers[0], stride=1)
        self.layer2 = self._make_layer(block, 16, layers[1], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(16 * block.expansion, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)

    def _make_layer(self, block, planes, blocks, stride):
        layers = []
        for step in [stride] + [1] * (blocks - 1):
            layers.append(block(self.in_planes, planes, step))
            self.in_planes = planes * block.expansion
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        x = torch.flatten(self.avgpool(x), 1)
        return self.fc(x)


def stripes(rng, n, size=12):
    """Noisy waves that run across, down or along a diagonal, with the number of the direction."""
    labels = rng.integers(0, 4, n)
    directions = np.array([[1, 0], [0, 1], [0.7, 0.7], [0.7, -0.7]])[labels]
    i, j = np.mgrid[:size, :size]
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    waves = np.sin(1.5 * (directions[:, :1, None] * i + directions[:, 1:, None] * j) + phase)
    x = waves + 0.3 * rng.standard_normal(waves.shape)
    return torch.tensor(x[:, None], dtype=dtype), torch.from_numpy(labels)


rng = np.random.default_rng(0)
model = ResNet(BasicBlock, [1, 1], num_classes=4).to(dtype)
spread = model.layer2[0].conv2.weight.std().item() / (2 / (9 * 16)) ** 0.5
assert 0.9 < spread < 1.1
drawn = {
    name: torch.tensor(rng.normal(0, (2 / np.prod(value.shape[1:])) ** 0.5, tuple(value.shape)))
    for name, value in model.state_dict().items()
    if value.dim() > 1
}
missing, unexpected = model.load_state_dict(drawn, strict=False)
assert not unexpected
assert all("conv" not in key for key in missing)
with torch.no_grad():
    model.fc.bias.zero_()
optimizer = optim.SGD(model.parameters(), lr=0.02, momentum=0.9, weight_decay=5e-4)
scheduler = optim.lr_scheduler.MultiStepLR(optimizer, milestones=[25, 32], gamma=0.2)
criterion = nn.CrossEntropyLoss()

losses = []
for _ in range(36):
    model.train()
    x, y = stripes(rng, 32)
    optimizer.zero_grad()
    loss = criterion(model(x), y)
    loss.backward()
    optimizer.step()
    scheduler.step()
    losses.append(loss.item())

x, y = stripes(rng, 200)
with torch.no_grad():
    model.eval()
    logits = model(x)
    alone = model(x[:1])  # in evaluation the rest of the batch does not matter
    before = model.bn1.running_mean.clone()
    model.train()
    model(x)  # in training mode it does, and the running statistics move, gradients or not
    moved = (model.bn1.running_mean - before).abs().max()
assert torch.allclose(alone, logits[:1], atol=1e-5)
accuracy = (logits.argmax(1) == y).float().mean()
print(f"loss {losses[0]:.3f} -> {losses[-1]:.3f}, accuracy {accuracy:.3f}")
figures = {
    "losses": losses,
    "accuracy": accuracy.item(),
    "running means": model.layer1[0].bn2.running_mean.tolist(),
    "running variances": model.layer2[0].downsample[1].running_var.tolist(),
    "batches": model.bn1.num_batches_tracked.item(),
    "moved": moved.item(),
    "saved": len(model.state_dict()),
    "weight norm": float(sum(p.detach().pow(2).sum() for p in model.parameters())),
}

"""Names in PyTorch's shape: data sets, samplers, the loader, and transforms of a batch (core module 08)."""

# ruff: noqa: F401 (this file is a list of names for others to import)

from ..core.dataloader import (
    BatchSampler,
    BatchTransform,
    Compose,
    ConcatDataset,
    Cutout,
    DataLoader,
    Dataset,
    IterableDataset,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)

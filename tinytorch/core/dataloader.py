"""08 DataLoader: from a data set to shuffled, augmented batches, ready before the training loop asks.

A `Dataset` answers two questions: how many samples, and which is sample i. A sampler says in which order,
`default_collate` makes one batch of many samples, and the `DataLoader` runs the three, in the background if
you like. Data that already lies in tensors skips the per-sample work: a batch is one indexing operation.
The last part changes whole batches of images at random, so that a network never sees the same one twice.

Names and defaults follow PyTorch 2: https://docs.pytorch.org/docs/stable/data.html
"""

import sys
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from functools import partial
from itertools import accumulate, islice, repeat

import numpy as np

from .tensor import Generator, Tensor, default_generator, float32, tensor, to_array, wrap

# Data sets


class Dataset:
    """Samples by number: a subclass defines `__getitem__(index)` and `__len__()`."""

    def __getitem__(self, index):
        raise NotImplementedError(f"{type(self).__name__} has to define __getitem__(index)")

    def __add__(self, other):
        return ConcatDataset([self, other])

    def batch_of(self, indices):
        """The samples at `indices` as one batch: each one fetched, then all collated."""
        return default_collate(samples_at(self, indices))


def samples_at(dataset, indices):
    """The samples at `indices`, as a list; an error says at which index it happened."""
    samples = []
    for index in indices:
        try:
            samples.append(dataset[index])
        except Exception as error:
            error.add_note(f"This happened while sample {index} of {type(dataset).__name__} was loaded.")
            raise
    return samples


class TensorDataset(Dataset):
    """Tensors of equal length: sample i is (tensors[0][i], tensors[1][i], …). Arrays are not copied."""

    def __init__(self, *tensors):
        self.tensors = tuple(x if isinstance(x, Tensor) else wrap(np.asarray(x)) for x in tensors)
        lengths = [len(x) for x in self.tensors]
        if not lengths or min(lengths) != max(lengths):
            raise ValueError(f"TensorDataset: tensors of equal length are needed; theirs are {lengths}")

    def __len__(self):
        return len(self.tensors[0])

    def __getitem__(self, index):
        return tuple(x[index] for x in self.tensors)

    def batch_of(self, indices):
        """One indexing operation per tensor in place of one per sample."""
        if type(self).__getitem__ is not TensorDataset.__getitem__:  # a subclass makes its own samples
            return super().batch_of(indices)
        return [x[indices] for x in self.tensors]


class Subset(Dataset):
    """The samples of `dataset` at `indices`, in that order."""

    def __init__(self, dataset, indices):
        self.dataset, self.indices = dataset, np.asarray(indices, dtype=np.int64)

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        return self.dataset[int(self.indices[index])]

    def batch_of(self, indices):
        if type(self).__getitem__ is not Subset.__getitem__:
            return super().batch_of(indices)
        return batch_of(self.dataset, self.indices[indices].tolist())


class ConcatDataset(Dataset):
    """Data sets one after the other."""

    def __init__(self, datasets):
        self.datasets = list(datasets)
        self.ends = list(accumulate(len(dataset) for dataset in self.datasets))
        if not self.ends:
            raise ValueError("ConcatDataset: at least one data set is needed")

    def __len__(self):
        return self.ends[-1]

    def __getitem__(self, index):
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"ConcatDataset: index {index} is out of range for {len(self)} samples")
        which = bisect_right(self.ends, position)
        return self.datasets[which][position - self.ends[which] + len(self.datasets[which])]


class IterableDataset:
    """Samples that come in an order of their own: a subclass defines `__iter__()`."""

    def __iter__(self):
        raise NotImplementedError(f"{type(self).__name__} has to define __iter__()")


def batch_of(dataset, indices):
    """A batch of any object that has `__getitem__` and `__len__`, a list for instance."""
    return dataset.batch_of(indices) if isinstance(dataset, Dataset) else Dataset.batch_of(dataset, indices)


def random_split(dataset, lengths, generator=None):
    """Subsets without overlap, drawn at random: `lengths` are numbers of samples, or fractions that sum to 1.

    A sample that fractions leave over goes to the first subset, the next one to the second, and so on.
    """
    n = len(dataset)
    if abs(sum(lengths) - 1) < 1e-6 and all(0 <= part <= 1 for part in lengths):
        sizes = [int(n * part) for part in lengths]
        for i in range(n - sum(sizes)):
            sizes[i % len(sizes)] += 1
    else:
        sizes = list(lengths)
    if sum(sizes) != n or not all(isinstance(size, int) and size >= 0 for size in sizes):
        raise ValueError(f"random_split: {list(lengths)} does not add up to {n} samples")
    order = (generator or default_generator).numpy.permutation(n)
    return [Subset(dataset, part) for part in np.split(order, list(accumulate(sizes))[:-1])]


# Samplers: in which order?


class Sampler:
    """An order of sample numbers: a subclass defines `__iter__()` and, where it is known, `__len__()`."""


class SequentialSampler(Sampler):
    """0, 1, 2, … in order."""

    def __init__(self, data_source):
        self.data_source = data_source

    def __len__(self):
        return len(self.data_source)

    def __iter__(self):
        return iter(range(len(self)))


class RandomSampler(Sampler):
    """Every sample once, in a new random order each time; with `replacement`, independent draws."""

    def __init__(self, data_source, replacement=False, num_samples=None, generator=None):
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self.num_samples = num_samples

    def __len__(self):
        return len(self.data_source) if self.num_samples is None else self.num_samples

    def __iter__(self):
        rng, n = (self.generator or default_generator).numpy, len(self.data_source)
        if self.replacement:
            return iter(rng.integers(n, size=len(self)).tolist())
        rounds = max(1, -(-len(self) // max(n, 1)))
        return iter(np.concatenate([rng.permutation(n) for _ in range(rounds)])[: len(self)].tolist())


class WeightedRandomSampler(Sampler):
    """`num_samples` draws in which sample i has a chance in proportion to weights[i]."""

    def __init__(self, weights, num_samples, replacement=True, generator=None):
        self.weights = np.asarray(to_array(weights), dtype=np.float64)
        self.num_samples, self.replacement, self.generator = num_samples, replacement, generator
        if self.weights.ndim != 1 or not (self.weights >= 0).all() or not 0 < self.weights.sum() < np.inf:
            raise ValueError("WeightedRandomSampler: weights have to be >= 0, with a finite sum above 0")

    def __len__(self):
        return self.num_samples

    def __iter__(self):
        rng = (self.generator or default_generator).numpy
        chances = self.weights / self.weights.sum()
        return iter(rng.choice(len(chances), self.num_samples, self.replacement, chances).tolist())


class BatchSampler(Sampler):
    """Lists of `batch_size` numbers from another sampler; `drop_last` leaves out a shorter last one."""

    def __init__(self, sampler, batch_size, drop_last=False):
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(f"batch_size has to be an int of at least 1, {batch_size!r} came")
        self.sampler, self.batch_size, self.drop_last = sampler, batch_size, drop_last

    def __len__(self):
        return (len(self.sampler) + (0 if self.drop_last else self.batch_size - 1)) // self.batch_size

    def __iter__(self):
        numbers = iter(self.sampler)
        while batch := list(islice(numbers, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch


# Collation: many samples, one batch.


def default_collate(samples):
    """One batch of a list of samples: tensors, arrays and numbers are stacked along a new first dimension.

    Tuples, lists and dicts are collated member by member; strings stay a list. Python floats give float32.
    """
    first = samples[0]
    if isinstance(first, Tensor) or hasattr(first, "dtype"):
        if any(isinstance(x, Tensor) and x.requires_grad for x in samples):
            raise ValueError("default_collate: a sample requires grad; data is detached: return x.detach()")
        arrays = [x.array if isinstance(x, Tensor) else x for x in samples]
        shapes = {x.shape for x in arrays}
        if len(shapes) > 1:
            came = " and ".join(map(str, sorted(shapes)))
            raise ValueError(f"default_collate: shapes {came} do not stack; pad them, or give a collate_fn")
        return wrap(np.stack(arrays))
    if isinstance(first, (int, float)):
        return tensor(samples)
    if isinstance(first, (str, bytes)):
        return list(samples)
    if isinstance(first, Mapping):
        return {key: default_collate([sample[key] for sample in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        if len({len(sample) for sample in samples}) > 1:
            raise ValueError("default_collate: the samples of a batch have different numbers of members")
        members = [default_collate(list(member)) for member in zip(*samples, strict=True)]
        return type(first)(*members) if hasattr(first, "_fields") else members
    raise TypeError(f"default_collate: cannot make a batch of {type(first).__name__}; give a collate_fn")


# The loader


END = object()  # what a source of batches answers when there is none left


class DataLoader:
    """Batches of a data set, once through it for every `for` loop.

    shuffle: a new random order each time, from `generator` (the default one if None).
    sampler, batch_sampler: an order of your own; then `shuffle` is not allowed.
    num_workers: threads that load `prefetch_factor` batches each ahead; 0 loads a batch when it is asked for,
    and so does the browser, which has no threads. The batches are the same either way.
    transform: called as transform(inputs, generator) with the first member of each batch, see BatchTransform.
    pin_memory, persistent_workers: accepted as in PyTorch; nothing here needs them.

    An epoch's order and its transforms follow from one seed, drawn when the epoch begins. So `state_dict()`
    is two numbers, and after `load_state_dict` the next loop goes on where the other one was, bit for bit.
    """

    def __init__(
        self, dataset, batch_size=1, shuffle=False, sampler=None, batch_sampler=None, num_workers=0,
        collate_fn=None, pin_memory=False, drop_last=False, *, generator=None, prefetch_factor=2,
        persistent_workers=False, transform=None,
    ):  # fmt: skip
        self.iterable = isinstance(dataset, IterableDataset)
        orders = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
        given = " and ".join(name for name, order in orders.items() if order is not None)
        if self.iterable and given:
            raise ValueError(f"DataLoader: {given} came, but an IterableDataset has an order of its own")
        if " and " in given:
            raise ValueError(f"DataLoader: {given} came; one of them decides on the order")
        if batch_sampler is not None and (batch_size != 1 or drop_last):
            raise ValueError("DataLoader: batch_sampler decides on batch_size and drop_last; leave these out")
        if num_workers < 0 or prefetch_factor < 1:
            came = f"{num_workers} and {prefetch_factor}"
            raise ValueError(f"DataLoader: num_workers >= 0 and prefetch_factor >= 1 are needed, {came} came")
        self.dataset, self.batch_size, self.drop_last = dataset, batch_size, drop_last
        self.collate_fn, self.transform = collate_fn, transform
        self.generator, self.epoch_generator = generator, Generator()
        self.position, self.resume_at = None, None  # (seed of the epoch, batches handed out)
        self.num_workers = 0 if sys.platform == "emscripten" else num_workers
        self.prefetch_factor = prefetch_factor
        if self.iterable:
            sampler = dataset
        elif shuffle:
            sampler = RandomSampler(dataset, generator=self.epoch_generator)
        elif sampler is None:
            sampler = SequentialSampler(dataset)
        if batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.sampler, self.batch_sampler = sampler, batch_sampler

    def __len__(self):
        return len(self.batch_sampler)

    def __iter__(self):
        if self.resume_at is None:
            seed = (self.generator or default_generator).numpy.integers(2**63 - 1, dtype=np.int64)
            self.resume_at = int(seed), 0
        (seed, done), self.resume_at = self.resume_at, None
        self.position = seed, done
        self.epoch_generator.manual_seed(seed)
        groups = islice(enumerate(self.batch_sampler), done, None)
        if not self.num_workers:
            batches = (self.load(seed, *group) for group in groups)
        elif self.iterable:  # one thread: its samples come one after the other
            source = (self.load(seed, *group) for group in groups)
            batches = load_ahead(repeat(partial(next, source, END)), 1, self.prefetch_factor)
        else:
            tasks = (partial(self.load, seed, *group) for group in groups)
            batches = load_ahead(tasks, self.num_workers, self.prefetch_factor * self.num_workers)
        for batch in batches:
            done += 1
            self.position = seed, done
            yield batch
        self.position = None

    def load(self, seed, number, group):
        """Batch `number` of an epoch; `group` holds its indices, or its samples from an IterableDataset."""
        if self.iterable:
            batch = (self.collate_fn or default_collate)(group)
        elif self.collate_fn is None:
            batch = batch_of(self.dataset, group)
        else:
            batch = self.collate_fn(samples_at(self.dataset, group))
        if self.transform is None:
            return batch
        generator = Generator((seed, number))  # of its own, so that threads cannot change what it draws
        if isinstance(batch, (list, tuple)):
            return [self.transform(batch[0], generator), *batch[1:]]
        return self.transform(batch, generator)

    def state_dict(self):
        """Where the loader is: the seed of the epoch (None between epochs) and the batches handed out."""
        seed, batches = self.position or (None, 0)
        return {"seed": seed, "batches": batches}

    def load_state_dict(self, state):
        """Let the next loop go on from `state`."""
        self.resume_at = None if state["seed"] is None else (int(state["seed"]), int(state["batches"]))


def load_ahead(tasks, workers, depth):
    """The results of functions without arguments, in order, computed by threads up to `depth` ahead.

    An error comes out here, in its turn. Leaving early cancels what has not begun.
    """
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(workers, thread_name_prefix="DataLoader")
    ahead: deque = deque()
    try:
        for task in tasks:
            ahead.append(pool.submit(task))
            if len(ahead) > depth:
                batch = ahead.popleft().result()
                if batch is END:
                    return
                yield batch
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


# Transforms of a whole batch of images


class BatchTransform:
    """A change to all images of a batch at once: (N, …, H, W), a Tensor or an array, to a new Tensor.

    The random ones draw from `generator`, or from the default generator.
    """

    def change(self, images, rng):
        """What a subclass defines: the changed array (N, C, H, W); `rng` is a numpy.random.Generator."""
        raise NotImplementedError(f"{type(self).__name__} has to define change(images, rng)")

    def __call__(self, images, generator=None):
        array = to_array(images)
        if array.ndim < 3:
            raise ValueError(f"{type(self).__name__}: images (N, …, H, W) are needed, {array.shape} came")
        lead, (height, width) = array.shape[:-2], array.shape[-2:]
        images = array.reshape(lead[0], int(np.prod(lead[1:])), height, width)
        out = self.change(images, (generator or default_generator).numpy)
        return wrap(out.reshape(*lead, *out.shape[-2:]))


class Compose:
    """One transform after the other."""

    def __init__(self, transforms):
        self.transforms = list(transforms)

    def __call__(self, images, generator=None):
        for transform in self.transforms:
            images = transform(images, generator)
        return images


class Normalize(BatchTransform):
    """(images - mean) / std as float32, a number for each channel or one for all; uint8 counts as 0 to 1."""

    def __init__(self, mean, std):
        self.mean, self.std = (np.asarray(value, float32).reshape(-1, 1, 1) for value in (mean, std))
        if not (self.std > 0).all():
            raise ValueError(f"Normalize: every std has to be above 0, {np.ravel(std).tolist()} came")

    def change(self, images, rng):
        unit = float32.type(1 / 255 if images.dtype == np.uint8 else 1)
        out = images * (unit / self.std)  # one factor and one shift: two passes over the memory
        out -= self.mean / self.std
        return out


class RandomCrop(BatchTransform):
    """A window of `size` (an int or a pair) at a random place, after padding every side.

    padding_mode: "constant" pads with zeros, "reflect" mirrors without repeating the edge, "edge" repeats it.
    """

    def __init__(self, size, padding=0, padding_mode="constant"):
        if padding_mode not in ("constant", "reflect", "edge"):
            raise ValueError(f"RandomCrop: padding_mode is constant, reflect or edge, {padding_mode!r} came")
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        self.padding, self.padding_mode = padding, padding_mode

    def change(self, images, rng):
        images, (h, w) = self.padded(images), self.size
        n, _, height, width = images.shape
        if h > height or w > width:
            raise ValueError(f"RandomCrop: {self.size} does not fit into {(height, width)}, padding included")
        top, left = rng.integers(height - h + 1, size=n), rng.integers(width - w + 1, size=n)
        # Every window there is, as a view: (N, C, tops, lefts, h, w).
        windows = np.lib.stride_tricks.sliding_window_view(images, (h, w), (2, 3))
        return windows[np.arange(n), :, top, left]

    def padded(self, images):
        """The images with `padding` more pixels on every side."""
        p, (n, c, height, width) = self.padding, images.shape
        if not p:
            return images
        if self.padding_mode == "constant":
            out = np.zeros_like(images, shape=(n, c, height + 2 * p, width + 2 * p))
            out[:, :, p:-p, p:-p] = images
            return out
        # Pad the pixels' positions, once, and look all images up there.
        source = np.pad(np.arange(height * width).reshape(height, width), p, mode=self.padding_mode)
        return images.reshape(n, c, height * width).take(source.ravel(), 2).reshape(n, c, *source.shape)


class RandomHorizontalFlip(BatchTransform):
    """Each image is mirrored left to right with probability `p`."""

    def __init__(self, p=0.5):
        if not 0 <= p <= 1:
            raise ValueError(f"RandomHorizontalFlip: p is a probability, {p} came")
        self.p = p

    def change(self, images, rng):
        flipped = rng.random(len(images)) < self.p
        out = images.copy()
        out[flipped] = images[flipped, :, :, ::-1]
        return out


class Cutout(BatchTransform):
    """A square of `size` pixels around a random pixel is set to 0, as far as it lies inside the image.

    DeVries and Taylor 2017, https://arxiv.org/abs/1708.04552.
    """

    def __init__(self, size):
        if size < 1:
            raise ValueError(f"Cutout: size is at least 1 pixel, {size} came")
        self.size = size

    def change(self, images, rng):
        n, _, height, width = images.shape
        rows, columns = (self.covered(length, rng.integers(length, size=n)) for length in (height, width))
        return images * ~(rows[:, None, :, None] & columns[:, None, None, :])

    def covered(self, length, centers):
        """(N, length) bools: which rows, or columns, the square takes."""
        starts = centers[:, None] - self.size // 2
        positions = np.arange(length)
        return (starts <= positions) & (positions < starts + self.size)

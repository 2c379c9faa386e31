"""Exercises of module 08, DataLoader."""

from typing import Any

import numpy as np

from tinytorch.core import dataloader
from tinytorch.core.dataloader import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    RandomSampler,
    TensorDataset,
)
from tinytorch.core.tensor import Generator, tensor

from ..checking import Exercises, call, raises, see, swap, wrong

exercises = Exercises("dataloader")

getitem = exercises.add(
    "TensorDataset.__getitem__",
    prompt="Return sample `index`: a tuple with that entry of each tensor in self.tensors, in their order.",
    hints=("One expression for every tensor: x[index].", "tuple(… for x in self.tensors)"),
    mistakes=(
        swap(
            "tuple(x[index] for x in self.tensors)",
            "[x[index] for x in self.tensors]",
            "A list comes; a sample is a tuple.",
        ),
        swap(
            "tuple(x[index] for x in self.tensors)",
            "self.tensors[index]",
            "This picks one of the tensors; a sample takes the same entry of every one.",
        ),
        swap(
            "tuple(x[index] for x in self.tensors)",
            "tuple(x[:index] for x in self.tensors)",
            "A slice comes, all entries before the index; one entry is asked for.",
        ),
    ),
)


@getitem.check("one entry of each tensor")
def _():
    data = TensorDataset(tensor([[1.0, 2.0], [3.0, 4.0]]), tensor([10, 20]))
    sample = data[1]
    see("kind of data[1]", type(sample).__name__).gives("tuple")
    see("data[1][0]", sample[0]).gives([3.0, 4.0])
    see("data[1][1]", sample[1]).gives(tensor(20))


@getitem.check("a single tensor gives a tuple of one")
def _():
    see("len(TensorDataset(x)[0])", len(TensorDataset(tensor([5.0, 6.0]))[0])).gives(1)


concat = exercises.add(
    "ConcatDataset.__getitem__",
    prompt="Return sample `index` of data sets that stand one after the other. self.ends holds, for each, "
    "how many samples there are up "
    "to its end. A negative index counts from the end of all; one that is out of range is an IndexError.",
    hints=(
        "Which data set? The first whose end lies beyond the position: bisect_right(self.ends, position).",
        "Its samples begin where the one before it ends: subtract that end, or 0 for the first.",
    ),
    mistakes=(
        swap(
            "bisect_right(self.ends, position)",
            "bisect_right(self.ends, position - 1)",
            "The first sample of each further data set is looked for at the end of the one before.",
        ),
        swap(
            "        position = index + len(self) if index < 0 else index\n",
            "        position = index\n",
            "Negative indices are refused; they count from the end.",
        ),
        swap(
            "[position - self.ends[which] + len(self.datasets[which])]",
            "[position]",
            "The position among all is used inside one data set: subtract what stands before it.",
        ),
        swap(
            "if not 0 <= position < len(self):",
            "if not position < len(self):",
            "An index below -n is let through, and wraps around a second time.",
        ),
    ),
)


@concat.check("the samples follow one another")
def _():
    data = ConcatDataset([["a"], ["b", "c", "d"], ["e", "f", "g", "h", "i"]])
    for index, letter in enumerate("abcde"):
        see(f"sample {index} of [a], [b c d], [e f g h i]", data[index]).gives(letter)


@concat.check("negative indices count from the end")
def _():
    data = ConcatDataset([["a", "b"], ["c"]])
    see("samples -1, -2, -3", [data[-1], data[-2], data[-3]]).gives(["c", "b", "a"])


@concat.check("beyond the end is an error")
def _():
    data = ConcatDataset([["a", "b"], ["c"]])
    for index in (3, -4):
        raises(IndexError, data.__getitem__, index)


split = exercises.add(
    "random_split",
    prompt="Return a list of Subsets without overlap that together are the data set, in a random order "
    "drawn by `generator` (or "
    "default_generator): generator.numpy.permutation(n). lengths are whole numbers that add up to n, or "
    "fractions that sum to "
    "1: then each size is int(n · fraction), and the samples left over go to the first subset, the "
    "second, and so on, one each. "
    "Lengths that do not add up are a ValueError.",
    hints=(
        "First turn fractions into sizes, then check that the sizes add up, then cut one permutation into "
        "pieces.",
        "np.split(order, where to cut) cuts; the places are the running sums of the sizes, without the last.",
        "[Subset(dataset, part) for part in np.split(order, list(accumulate(sizes))[:-1])]",
    ),
    mistakes=(
        swap(
            "order = (generator or default_generator).numpy.permutation(n)",
            "order = np.arange(n)",
            "The order is not random: data that is sorted by class would split by class.",
        ),
        swap(
            "            sizes[i % len(sizes)] += 1\n",
            "            sizes[-1] += 1\n",
            "All samples that are left over go to the last subset; they go to the first, the second, and "
            "so on.",
        ),
        swap("    if sum(sizes) != n or", "    if False and", "Lengths that do not add up are let through."),
        swap(
            "abs(sum(lengths) - 1) < 1e-6",
            "sum(lengths) == 1",
            "Fractions rarely sum to exactly 1: allow for rounding.",
        ),
        swap(
            "(generator or default_generator)",
            "generator",
            "Without a generator the numbers come from default_generator.",
        ),
        swap(
            " or not all(isinstance(size, int) and size >= 0 for size in sizes)",
            "",
            "Sizes below 0, or with a fraction, are let through if they add up.",
        ),
        swap(
            "[Subset(dataset, part) for",
            "[[dataset[i] for i in part] for",
            "Every sample is read at once; a Subset reads one when it is asked for.",
        ),
        swap(
            "int(n * part)",
            "round(n * part)",
            "The sizes are rounded; each is int(n · fraction), and what is left over is dealt out.",
        ),
        swap(
            "order = (generator or default_generator).numpy.permutation(n)",
            "rng = (generator or default_generator).numpy",
            "Each subset is drawn by itself, so they overlap: cut one permutation into pieces.",
            (
                "[Subset(dataset, part) for part in np.split(order, list(accumulate(sizes))[:-1])]",
                "[Subset(dataset, rng.permutation(n)[:size]) for size in sizes]",
            ),
        ),
    ),
)


def parts(lengths, n=10, seed=3):
    """The samples of each subset of the numbers 0 to n - 1."""
    subsets = dataloader.random_split(list(range(n)), lengths, Generator(seed))
    return [[subset[i] for i in range(len(subset))] for subset in subsets]


@split.check("every sample once, in subsets of the right sizes")
def _():
    found = parts([7, 3])
    see("sizes of random_split of 10 samples by [7, 3]", [len(part) for part in found]).gives([7, 3])
    see("all samples, sorted", sorted(found[0] + found[1])).gives(list(range(10)))


@split.check("in a random order that the generator decides")
def _():
    see("the same generator seed gives the same subsets", parts([7, 3]) == parts([7, 3])).gives(True)
    see("the first seven are not simply 0 to 6", sorted(parts([7, 3])[0]) == list(range(7))).gives(False)


@split.check("fractions, with what is left over from the first on")
def _():
    see("sizes by [1/3, 1/3, 1/3] of 11", [len(part) for part in parts([1 / 3, 1 / 3, 1 / 3], 11)]).gives(
        [4, 4, 3]
    )
    see("sizes by [0.9, 0.1] of 10", [len(part) for part in parts([0.9, 0.1])]).gives([9, 1])
    found = [len(part) for part in parts([1 / 3, 0.666666666666], 9)]
    see("sizes by [1/3, 0.666666666666] of 9", found).gives([4, 5])


@split.check("lengths that do not add up are an error")
def _():
    raises(ValueError, dataloader.random_split, list(range(10)), [5, 4])
    raises(ValueError, dataloader.random_split, list(range(10)), [12, -2])
    raises(ValueError, dataloader.random_split, list(range(10)), [7.5, 2.5])


@split.check("Subsets, and without a generator the default one")
def _():
    found = dataloader.random_split(list(range(4)), [3, 1])
    see("their kind", [type(part).__name__ for part in found]).gives(["Subset", "Subset"])


sampler = exercises.add(
    "RandomSampler.__iter__",
    prompt="Return an iterator over Python ints: every number from 0 to n - 1 once, in an order drawn by "
    "self.generator (or "
    "default_generator). For more than n numbers begin a new permutation after each; for fewer, stop "
    "early (len(self) says how many). "
    "With self.replacement the numbers are independent draws: rng.integers(n, size=len(self)).",
    hints=(
        "`(self.generator or default_generator).numpy` is a numpy.random.Generator: permutation(n), "
        "integers(n, size=…).",
        "Join as many permutations as it takes with np.concatenate and cut off at len(self); `.tolist()` "
        "makes Python ints.",
    ),
    mistakes=(
        swap(
            "np.concatenate([rng.permutation(n) for _ in range(rounds)])[: len(self)].tolist()",
            "rng.integers(n, size=len(self)).tolist()",
            "Numbers come twice and others never: without replacement each comes once.",
        ),
        swap("[: len(self)].tolist()", ".tolist()", "Too many numbers come: len(self) says how many."),
        swap(
            "np.concatenate([rng.permutation(n) for _ in range(rounds)])",
            "np.arange(n)",
            "The order is not random.",
        ),
        swap(
            "        if self.replacement:\n            return iter(rng.integers(n, "
            "size=len(self)).tolist())\n",
            "",
            "replacement=True is ignored: its draws are independent, so numbers can repeat.",
        ),
        swap(
            "np.concatenate([rng.permutation(n) for _ in range(rounds)])",
            "np.tile(rng.permutation(n), rounds)",
            "The same permutation comes again and again; begin a new one after each.",
        ),
        swap(
            "(self.generator or default_generator)",
            "default_generator",
            "self.generator is not used: two samplers of the same seed differ.",
        ),
        swap(
            "rng.integers(n, size=len(self))",
            "rng.integers(n - 1, size=len(self))",
            "The last number is never drawn: integers(n) goes up to n - 1 by itself.",
        ),
        swap(
            "rng.integers(n, size=len(self))",
            "rng.integers(n, size=n)",
            "With replacement, too, len(self) says how many.",
        ),
        swap(
            "max(1, -(-len(self) // max(n, 1)))",
            "-(-len(self) // n)",
            "Of nothing, nothing is drawn: n may be 0, and then there is no division by it.",
        ),
    ),
)


@sampler.check("every number once, in a random order")
def _():
    found = list(RandomSampler(range(20), generator=Generator(1)))
    see("the numbers, sorted", sorted(found)).gives(list(range(20)))
    see("they are not in order", found == sorted(found)).gives(False)
    see("their kind", type(found[0]).__name__).gives("int")


@sampler.check("another order each time")
def _():
    order = RandomSampler(range(20), generator=Generator(1))
    see("two rounds are alike", list(order) == list(order)).gives(False)


@sampler.check("the generator decides on the order, and nothing is an order, too")
def _():
    one, other = (list(RandomSampler(range(20), generator=Generator(7))) for _ in range(2))
    see("two samplers with generators of one seed agree", one == other).gives(True)
    see("the numbers of an empty data source", list(RandomSampler([]))).gives([])


@sampler.check("fewer, and more, than there are")
def _():
    few = list(RandomSampler(range(10), num_samples=4, generator=Generator(1)))
    see("how many, and how many different, of num_samples=4", (len(few), len(set(few)))).gives((4, 4))
    many = list(RandomSampler(range(3), num_samples=7, generator=Generator(1)))
    see("how many of num_samples=7", len(many)).gives(7)
    see("the first three of them, sorted", sorted(many[:3])).gives([0, 1, 2])
    many = list(RandomSampler(range(20), num_samples=40, generator=Generator(1)))
    see("the second 20 of 40 are in the order of the first", many[:20] == many[20:]).gives(False)
    see("the second 20, sorted", sorted(many[20:])).gives(list(range(20)))


@sampler.check("with replacement numbers repeat")
def _():
    found = list(RandomSampler(range(50), replacement=True, generator=Generator(1)))
    see("how many", len(found)).gives(50)
    see("some came twice", len(set(found)) < 50).gives(True)
    many = list(RandomSampler(range(3), replacement=True, num_samples=100, generator=Generator(1)))
    see("how many of num_samples=100", len(many)).gives(100)
    see("which numbers came", sorted(set(many))).gives([0, 1, 2])


batches = exercises.add(
    "BatchSampler.__iter__",
    prompt="Yield lists of self.batch_size numbers from self.sampler, in its order. The last one may be "
    "shorter; with self.drop_last "
    "a shorter one is left out. The sampler may be endless: take no more numbers than the batch needs.",
    hints=(
        "Make one iterator of the sampler and take batch_size numbers from it again and again.",
        "list(islice(numbers, self.batch_size)) takes up to so many; an empty list means the end.",
    ),
    mistakes=(
        swap(
            "if len(batch) == self.batch_size or not self.drop_last:",
            "if len(batch) == self.batch_size:",
            "A shorter last batch is always left out; only drop_last asks for that.",
        ),
        swap("if len(batch) == self.batch_size or not self.drop_last:", "if True:", "drop_last is ignored."),
        wrong(
            """
            def __iter__(self):
                numbers = list(self.sampler)
                for i in range(0, len(numbers), self.batch_size):
                    batch = numbers[i : i + self.batch_size]
                    if len(batch) == self.batch_size or not self.drop_last:
                        yield batch
            """,
            "The whole sampler is read before the first batch; it can be endless.",
        ),
        wrong(
            """
            def __iter__(self):
                batch = []
                for number in self.sampler:
                    batch.append(number)
                    if len(batch) == self.batch_size:
                        yield batch
                        batch.clear()
                if batch and not self.drop_last:
                    yield batch
            """,
            "All batches are the same list, which is emptied after each: make a new one.",
        ),
        wrong(
            """
            def __iter__(self):
                batch = []
                for number in self.sampler:
                    if len(batch) == self.batch_size:
                        yield batch
                        batch = []
                    batch.append(number)
                if len(batch) == self.batch_size or batch and not self.drop_last:
                    yield batch
            """,
            "One number more than the batch needs is taken before the batch comes.",
        ),
        wrong(
            """
            def __iter__(self):
                batch = []
                for number in self.sampler:
                    batch.append(number)
                    if len(batch) == self.batch_size:
                        yield batch
                        batch = []
                if not self.drop_last:
                    yield batch
            """,
            "Where the numbers fill the last batch, an empty one comes after it.",
        ),
    ),
)


@batches.check("lists of the batch size, the last one shorter")
def _():
    see("batches of 3 from 0 to 6", list(BatchSampler(range(7), 3))).gives([[0, 1, 2], [3, 4, 5], [6]])


@batches.check("no batch is empty")
def _():
    see("batches of 3 from 0 to 5", list(BatchSampler(range(6), 3))).gives([[0, 1, 2], [3, 4, 5]])
    see("batches of nothing", list(BatchSampler([], 3))).gives([])


@batches.check("drop_last leaves the shorter one out")
def _():
    see("batches of 3 from 0 to 6 with drop_last", list(BatchSampler(range(7), 3, True))).gives(
        [[0, 1, 2], [3, 4, 5]]
    )
    see("batches of 3 from 0 to 5 with drop_last", list(BatchSampler(range(6), 3, True))).gives(
        [[0, 1, 2], [3, 4, 5]]
    )


@batches.check("an endless sampler is read as it is needed")
def _():
    taken = []

    class Counted:
        def __iter__(self):
            for number in range(100):
                taken.append(number)
                yield number

    see("the first batch of 2", next(iter(BatchSampler(Counted(), 2)))).gives([0, 1])
    see("how many numbers of 100 were taken for it", len(taken)).gives(2)


collate = exercises.add(
    "default_collate",
    prompt="Make one batch of a list of samples, by the kind of the first one. Tensors and arrays are "
    "stacked along a new first "
    "dimension into a Tensor; different shapes, or a Tensor that requires grad, are a ValueError. Numbers "
    "become a Tensor (Python floats "
    "give float32), strings and bytes stay a list. Tuples and lists are collated member by member into a "
    "list, named tuples into their "
    "own type, dicts key by key into a dict. Members of different number are a ValueError, any other kind "
    "is a TypeError.",
    hints=(
        "A chain of isinstance questions, from Tensor and array down to tuple; the containers call "
        "default_collate again.",
        "wrap(np.stack(arrays)) makes the Tensor; tensor(samples) makes one of numbers; `zip(*samples, "
        "strict=True)` turns samples "
        "into members.",
        "A named tuple has `_fields`, and is made by type(first)(*members).",
    ),
    mistakes=(
        swap(
            "return wrap(np.stack(arrays))",
            "return wrap(np.concatenate(arrays))",
            "The samples are joined end to end; a batch has a new first dimension.",
        ),
        swap(
            "    if isinstance(first, (int, float)):\n        return tensor(samples)\n",
            "    if isinstance(first, (int, float)):\n        return wrap(np.array(samples))\n",
            "np.array makes float64 of Python floats; a batch of them is float32.",
        ),
        swap(
            'return type(first)(*members) if hasattr(first, "_fields") else members',
            "return members",
            "A named tuple becomes a list; it keeps its type.",
        ),
        swap(
            "return {key: default_collate([sample[key] for sample in samples]) for key in first}",
            "return list(samples)",
            "Dicts stay a list; each key is collated by itself.",
        ),
        swap(
            "        if any(isinstance(x, Tensor) and x.requires_grad for x in samples):\n",
            "        if False:\n",
            "A sample that requires grad is let through, and its history is lost without a word.",
        ),
        swap(
            "(str, bytes)",
            "str",
            "Bytes are refused; they stay a list, as strings do.",
        ),
        swap(
            "isinstance(first, (tuple, list))",
            "isinstance(first, tuple)",
            "A sample may be a list, too, and is collated as a tuple is.",
        ),
        swap(
            "return tensor(samples)",
            "return tensor(samples, dtype=float32)",
            "Integers become floats; as labels they have to stay integers.",
        ),
        swap(
            'hasattr(first, "_fields") else members',
            'hasattr(first, "_fields") else tuple(members)',
            "A batch of tuples is a list of its members.",
        ),
        swap(
            "        if len({len(sample) for sample in samples}) > 1:",
            "        if False:",
            "Members that some samples lack are left out without a word.",
            ("strict=True", "strict=False"),
        ),
    ),
)


@collate.check("tensors and arrays are stacked")
def _():
    found = dataloader.default_collate([tensor([1.0, 2.0]), tensor([3.0, 4.0])])
    see("default_collate([tensor([1, 2]), tensor([3, 4])])", found).gives(tensor([[1.0, 2.0], [3.0, 4.0]]))
    call(dataloader.default_collate, [np.zeros((2, 2), np.uint8)] * 3).gives(
        tensor(np.zeros((3, 2, 2), np.uint8))
    )


@collate.check("numbers become a tensor, text stays a list")
def _():
    call(dataloader.default_collate, [1.5, 2.5]).gives(tensor([1.5, 2.5]))
    call(dataloader.default_collate, [1, 2]).gives(tensor([1, 2]))
    call(dataloader.default_collate, ["a", "b"]).gives(["a", "b"])
    call(dataloader.default_collate, [b"a", b"b"]).gives([b"a", b"b"])


@collate.check("pairs, dicts and named tuples, member by member")
def _():
    from typing import NamedTuple

    class Sample(NamedTuple):
        x: float
        label: int

    inputs, labels = dataloader.default_collate([(tensor([1.0]), 3), (tensor([2.0]), 4)])
    see("inputs of two pairs", inputs).gives([[1.0], [2.0]])
    pairs = dataloader.default_collate([(1, 2), (3, 4)])
    see("kind of a batch of pairs", type(pairs).__name__).gives("list")
    first, second = dataloader.default_collate([[1, 2], [3, 4]])
    see("first members of the lists [1, 2] and [3, 4]", first).gives(tensor([1, 3]))
    see("second members", second).gives(tensor([2, 4]))
    see("labels of two pairs", labels).gives(tensor([3, 4]))
    table = dataloader.default_collate([{"x": 1.0}, {"x": 2.0}])
    see("kind of a batch of dicts", type(table).__name__).gives("dict")
    see("its entry x", table["x"]).gives([1.0, 2.0])
    see("kind of a batch of Samples", type(dataloader.default_collate([Sample(1.0, 2)])).__name__).gives(
        "Sample"
    )


@collate.check("what does not fit together is an error")
def _():
    raises(ValueError, dataloader.default_collate, [np.zeros(2), np.zeros(3)])
    raises(ValueError, dataloader.default_collate, [(1, 2), (1,)])
    raises(TypeError, dataloader.default_collate, [{1, 2}, {3}])
    x = tensor([1.0])
    x.requires_grad = True
    raises(ValueError, dataloader.default_collate, [x, x])


loader = exercises.add(
    "DataLoader.__iter__",
    prompt="A generator of the epoch's batches. Take self.resume_at, (seed, batches already handed out), "
    "or draw a new seed: "
    "int((self.generator or default_generator).numpy.integers(2**63 - 1, dtype=np.int64)), with 0 "
    "batches; then set self.resume_at to "
    "None. Seed self.epoch_generator with it. For each (number, group) of enumerate(self.batch_sampler), "
    "without those already handed "
    "out, yield self.load(seed, number, group), with num_workers through `load_ahead`. Before each yield "
    "self.position is (seed, "
    "batches handed out, this one included); after the last it is None.",
    hints=(
        "self.epoch_generator.manual_seed(seed) before the batch sampler is asked: the order is drawn "
        "from it.",
        "islice(enumerate(self.batch_sampler), done, None) skips what was handed out and keeps the numbers.",
        "Without workers: batches = (self.load(seed, *group) for group in groups). With workers give "
        "load_ahead functions without "
        "arguments: partial(self.load, seed, *group).",
    ),
    mistakes=(
        swap(
            "        self.epoch_generator.manual_seed(seed)\n",
            "        self.epoch_generator.manual_seed(0)\n",
            "Every epoch has the same order: the epoch's own seed decides on it.",
        ),
        swap(
            "islice(enumerate(self.batch_sampler), done, None)",
            "enumerate(self.batch_sampler)",
            "A loop that goes on begins from the first batch again: skip those that were handed out.",
        ),
        swap(
            "            done += 1\n            self.position = seed, done\n            yield batch",
            "            yield batch\n            done += 1\n            self.position = seed, done",
            "The position is set too late: a batch that was handed out would come again after a restart.",
        ),
        swap(
            "        self.position = None\n",
            "",
            "After the last batch the position stays: the next loop would think it is in the middle.",
        ),
        swap(
            "(self.generator or default_generator)",
            "default_generator",
            "self.generator is not used: the order is another one in every run.",
        ),
        swap(
            "(self.load(seed, *group) for group in groups)\n        elif",
            "(self.load(0, *group) for group in groups)\n        elif",
            "self.load does not get the epoch's seed, on which random changes of the samples depend.",
        ),
        swap(
            "enumerate(self.batch_sampler)",
            "enumerate(list(self.batch_sampler))",
            "The batch sampler is read to its end before the first batch; it may be endless.",
        ),
    ),
)

TEN = TensorDataset(tensor(np.arange(10)))


class EndlessBatches:
    """Batches [0, 1] for ever, which ends the check if too many are read."""

    def __iter__(self):
        for _ in range(50):
            yield [0, 1]
        raise OverflowError("batches were taken that nobody asked for")

    def __len__(self):
        return 50


def numbers_of(batches):
    return [batch[0].numpy().tolist() for batch in batches]


@loader.check("all samples, in batches, in order")
def _():
    see("batches of 4 from 0 to 9", numbers_of(DataLoader(TEN, 4))).gives(
        [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    )


@loader.check("shuffled: every sample once, another order each epoch")
def _():
    found = DataLoader(TEN, 5, shuffle=True, generator=Generator(1))
    first, second = (np.concatenate(numbers_of(found)).tolist() for _ in range(2))
    see("the samples of an epoch, sorted", sorted(first)).gives(list(range(10)))
    see("two epochs are alike", first == second).gives(False)


@loader.check("the same generator gives the same epochs")
def _():
    one, other = (DataLoader(TEN, 5, shuffle=True, generator=Generator(1)) for _ in range(2))
    see("two loaders with generators of one seed agree", numbers_of(one) == numbers_of(other)).gives(True)


@loader.check("while a batch is used, it counts as handed out")
def _():
    found = DataLoader(TEN, 3)
    counts = [found.state_dict()["batches"] for _ in found]
    see("state_dict()['batches'] at each batch of an epoch", counts).gives([1, 2, 3, 4])


@loader.check("a loop that was left goes on where it was")
def _():
    whole = numbers_of(DataLoader(TEN, 3, shuffle=True, generator=Generator(1)))
    left = DataLoader(TEN, 3, shuffle=True, generator=Generator(1))
    for number, _ in enumerate(left):
        if number == 1:
            state = left.state_dict()
            break
    other = DataLoader(TEN, 3, shuffle=True, generator=Generator(99))
    other.load_state_dict(state)
    see("the batches after the second are those of the whole epoch", numbers_of(other) == whole[2:]).gives(
        True
    )


@loader.check("self.load gets the epoch's seed, the batch's number and its samples")
def _():
    for workers in (0, 2):
        found: Any = DataLoader(TEN, 4, num_workers=workers)
        found.load = lambda seed, number, group: (seed, number, list(group))
        seeds, given = set(), []
        for seed, number, group in found:
            seeds.add(seed == found.state_dict()["seed"])
            given.append((number, group))
        see(f"number and samples of each batch, num_workers={workers}", given).gives(
            [(0, [0, 1, 2, 3]), (1, [4, 5, 6, 7]), (2, [8, 9])]
        )
        see(f"is the seed that of state_dict(), num_workers={workers}", seeds).gives({True})


@loader.check("a sampler without an end is read as it is needed")
def _():
    batches_ = DataLoader(TEN, batch_sampler=EndlessBatches())
    see("the first batch", next(iter(batches_))[0]).gives([0, 1])


@loader.check("between epochs there is no position")
def _():
    found = DataLoader(TEN, 3)
    list(found)
    see("state_dict() after an epoch", found.state_dict()["seed"]).gives(None)


normalize = exercises.add(
    "Normalize.change",
    prompt="Return (images - mean) / std in float32, a new array. images are (N, C, H, W); self.mean and "
    "self.std have the shape "
    "(C or 1, 1, 1). uint8 images count as 0 to 1: divide them by 255 first.",
    hints=(
        "self.mean and self.std broadcast against (N, C, H, W) by themselves.",
        "`images / 255` of uint8 is float64; with np.float32(255) it stays float32.",
    ),
    mistakes=(
        swap(
            "float32.type(1 / 255 if images.dtype == np.uint8 else 1)",
            "float32.type(1)",
            "uint8 pixels are taken as 0 to 255: they count as 0 to 1.",
        ),
        swap(
            "        out -= self.mean / self.std\n",
            "        out -= self.mean\n",
            "The mean is subtracted after the division by std: subtract it first, or subtract mean / std.",
        ),
        wrong(
            """
            def change(self, images, rng):
                if images.dtype == np.uint8:
                    images = images / 255
                return (images - self.mean) / self.std
            """,
            "uint8 divided by a Python number is float64: keep it float32.",
        ),
        wrong(
            """
            def change(self, images, rng):
                images = images * float32.type(1 / 255) if images.dtype == np.uint8 else images
                images -= self.mean
                images /= self.std
                return images
            """,
            "The batch that came in is changed: make a new array.",
        ),
    ),
)


@normalize.check("a mean of 2 and a std of 4")
def _():
    images = np.array([2.0, 6.0, 10.0, 0.0], np.float32).reshape(1, 1, 2, 2)
    found = Normalize(2.0, 4.0)(images)
    see("Normalize(2, 4) of [2, 6, 10, 0]", found).gives(np.array([[[[0, 1], [2, -0.5]]]]).tolist())
    see("its dtype", str(found.dtype)).gives("float32")
    see("the images afterwards", images.ravel()).gives([2.0, 6.0, 10.0, 0.0])


@normalize.check("a mean and a std for each channel")
def _():
    images = np.ones((2, 3, 2, 2), np.float32)
    found = Normalize((0.0, 1.0, 2.0), (1.0, 2.0, 4.0))(images)
    see("the first pixel of each channel", found.numpy()[0, :, 0, 0]).gives([1.0, 0.0, -0.25])


@normalize.check("bytes count from 0 to 1, and become float32")
def _():
    images = np.array([0, 51, 102, 255], np.uint8).reshape(1, 1, 2, 2)
    found = Normalize(0.0, 1.0)(images)
    see("Normalize(0, 1) of the bytes 0, 51, 102, 255", found.numpy().ravel()).gives([0.0, 0.2, 0.4, 1.0])
    see("its dtype", str(found.dtype)).gives("float32")


crop = exercises.add(
    "RandomCrop.change",
    prompt="Return a window of self.size, (h, w), of each image (N, C, H, W), at a random place of its "
    "own, from self.padded(images): "
    "(N, C, h, w). Draw all tops first, rng.integers(height - h + 1, size=n), then all lefts in the same "
    "way. A window that does not "
    'fit is a ValueError with the word "fit".',
    hints=(
        "height and width are those after padding. There are height - h + 1 places for the top row.",
        "A loop over the images with slices is right; np.lib.stride_tricks.sliding_window_view gives all "
        "windows at once.",
    ),
    mistakes=(
        swap(
            "rng.integers(height - h + 1, size=n), rng.integers(width - w + 1, size=n)",
            "rng.integers(height - h, size=n), rng.integers(width - w + 1, size=n)",
            "The last place is never drawn: there are height - h + 1 of them.",
        ),
        swap(
            "return windows[np.arange(n), :, top, left]",
            "return windows[np.arange(n), :, top[0], left[0]]",
            "All images are cut at the same place; each has a place of its own.",
        ),
        swap(
            "images, (h, w) = self.padded(images), self.size",
            "images, (h, w) = images, self.size",
            "The images are not padded.",
        ),
        swap(
            "if h > height or w > width:",
            "if h > height:",
            "Only the height is compared; a window may be too wide as well.",
        ),
        swap(
            "if h > height or w > width:",
            "if h >= height or w >= width:",
            "A window as large as the image fits: there is one place for it.",
        ),
        swap(
            "top, left = rng.integers(height - h + 1, size=n), rng.integers(width - w + 1, size=n)",
            "left, top = rng.integers(width - w + 1, size=n), rng.integers(height - h + 1, size=n)",
            "The lefts are drawn before the tops: the same seed then cuts elsewhere.",
        ),
    ),
)


@crop.check("windows of the right size, out of the image")
def _():
    images = np.arange(5 * 2 * 6 * 6, dtype=np.float32).reshape(5, 2, 6, 6)
    found = RandomCrop((3, 4)).change(images, np.random.default_rng(0))
    see("shape of the windows", tuple(found.shape)).gives((5, 2, 3, 4))
    rng = np.random.default_rng(0)
    tops, lefts = rng.integers(4, size=5), rng.integers(3, size=5)
    expected = [image[:, i : i + 3, j : j + 4] for image, i, j in zip(images, tops, lefts, strict=True)]
    see("the windows at the places that were drawn", found).gives(np.array(expected))


@crop.check("the padding is part of it")
def _():
    found = RandomCrop(4, padding=1).change(np.ones((50, 1, 4, 4), np.float32), np.random.default_rng(0))
    see("shape of windows of 4 from 4x4 images padded by 1", tuple(found.shape)).gives((50, 1, 4, 4))
    see("some zeros of the padding are inside", bool((found == 0).any())).gives(True)


@crop.check("every place can be drawn")
def _():
    images = np.broadcast_to(np.arange(4, dtype=np.float32)[:, None], (60, 1, 4, 1))
    found = RandomCrop((2, 1)).change(images, np.random.default_rng(0))
    see("the first rows of 60 windows of 2 from 4 rows", sorted({float(x) for x in found[:, 0, 0, 0]})).gives(
        [0.0, 1.0, 2.0]
    )


@crop.check("a window that does not fit is an error, one as large as the image is not")
def _():
    images, rng = np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4), np.random.default_rng(0)
    for size in (5, (5, 4)):
        raises(ValueError, RandomCrop(size).change, images, rng, says="fit")
    raises(ValueError, RandomCrop((4, 5)).change, images, rng, says="fit")
    see("a window of 4x4 from 4x4", RandomCrop(4).change(images, rng)).gives(images)


flip = exercises.add(
    "RandomHorizontalFlip.change",
    prompt="Return a copy of images (N, C, H, W) in which each image with rng.random(len(images)) < "
    "self.p is mirrored left to right.",
    hints=(
        "One draw for each image gives a mask (N,).",
        "`images[mask, :, :, ::-1]` are those images with their columns turned around. Copy before you "
        "write.",
    ),
    mistakes=(
        swap(
            "images[flipped, :, :, ::-1]",
            "images[flipped, :, ::-1]",
            "The rows are turned around, upside down; mirrored are the columns.",
        ),
        swap(
            "        out = images.copy()\n",
            "        out = images\n",
            "The batch that came in is changed: write into a copy.",
        ),
        swap(
            "rng.random(len(images)) < self.p",
            "np.full(len(images), rng.random() < self.p)",
            "One draw decides for the whole batch; each image has its own.",
        ),
        swap("< self.p", "> self.p", "The images that should stay are mirrored."),
    ),
)


@flip.check("with p=1 the columns of every image are turned around")
def _():
    images = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    found = RandomHorizontalFlip(1.0).change(images, np.random.default_rng(0))
    see("[[0, 1, 2], [3, 4, 5]] mirrored", found[0, 0]).gives([[2.0, 1.0, 0.0], [5.0, 4.0, 3.0]])


@flip.check("with p=0 nothing changes")
def _():
    images = np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3)
    see("images with p=0", RandomHorizontalFlip(0.0).change(images, np.random.default_rng(0))).gives(images)


@flip.check("each image by its own draw, and the batch is left as it was")
def _():
    images = np.arange(2 * 20, dtype=np.float32).reshape(20, 1, 1, 2)
    before = images.copy()
    found = RandomHorizontalFlip(0.3).change(images, np.random.default_rng(4))
    mirrored = np.random.default_rng(4).random(20) < 0.3
    see("which of 20 images were mirrored", (found[:, 0, 0, 0] > found[:, 0, 0, 1])).gives(mirrored)
    see("the batch that came in", images).gives(before)

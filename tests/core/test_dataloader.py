"""Data sets, samplers, collation, the loader and the batch transforms of module 08."""

import sys
import threading
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinytorch.core.tensor import Generator, Tensor, manual_seed, tensor, wrap
from tinytorch.utils.data import (
    BatchSampler,
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
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)

threads = pytest.mark.skipif(sys.platform == "emscripten", reason="there are no threads in the browser")


class Squares(Dataset):
    """Sample i is (i, i²); reading the sample at `broken` fails."""

    def __init__(self, n, broken=None):
        self.n, self.broken = n, broken

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        if index == self.broken:
            raise OSError("this file is damaged")
        return tensor(index), tensor(index * index)


class Countdown(IterableDataset):
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(range(self.n, 0, -1))


def pairs(n=10):
    """A TensorDataset whose labels are the rows' numbers."""
    return TensorDataset(np.arange(n * 3, dtype=np.float32).reshape(n, 3), np.arange(n))


def labels_of(loader):
    return [labels.tolist() for _, labels in loader]


# Data sets


def test_tensor_dataset_gives_one_member_per_tensor():
    x, y = pairs()[4]
    assert x.tolist() == [12, 13, 14]
    assert y.item() == 4


def test_tensor_dataset_takes_arrays_without_copying_them():
    images = np.zeros((4, 2), np.float32)
    assert TensorDataset(images).tensors[0].array is images


@pytest.mark.parametrize("arrays", [(), (np.zeros(3), np.zeros(4))])
def test_tensor_dataset_needs_tensors_of_equal_length(arrays):
    with pytest.raises(ValueError, match="equal length"):
        TensorDataset(*arrays)


def test_subset_renumbers_and_nests():
    subset = Subset(Subset(pairs(), [9, 7, 5, 3]), [3, 0])
    assert [y.item() for _, y in (subset[0], subset[1])] == [3, 9]
    assert labels_of(DataLoader(subset, batch_size=2)) == [[3, 9]]


def test_concat_dataset_counts_on_and_backwards():
    joined = ConcatDataset([pairs(3), pairs(0), pairs(2)])
    assert [joined[i][1].item() for i in range(5)] == [0, 1, 2, 0, 1]
    assert joined[-1][1].item() == 1
    assert len(joined) == 5
    with pytest.raises(IndexError, match="5 is out of range"):
        joined[5]


def test_data_sets_add_up():
    assert labels_of(DataLoader(Squares(2) + Squares(3), batch_size=5)) == [[0, 1, 0, 1, 4]]


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [([7, 3], [7, 3]), ([0.5, 0.5], [5, 5]), ([0.34, 0.33, 0.33], [4, 3, 3]), ([10, 0], [10, 0])],
)
def test_random_split_divides_without_overlap(lengths, sizes):
    parts = random_split(pairs(), lengths, generator=Generator(0))
    assert [len(part) for part in parts] == sizes
    assert sorted(i for part in parts for i in part.indices) == list(range(10))


def test_random_split_repeats_with_its_generator():
    first, second = (random_split(pairs(), [7, 3], Generator(5))[0].indices.tolist() for _ in range(2))
    assert first == second != sorted(first)


@pytest.mark.parametrize("lengths", [[7, 4], [0.5, 0.4], [-1, 11], [7.0, 3.0]])
def test_random_split_refuses_lengths_that_do_not_add_up(lengths):
    with pytest.raises(ValueError, match="10 samples"):
        random_split(pairs(), lengths)


# Samplers


def test_sequential_sampler_counts():
    assert list(SequentialSampler(range(4))) == [0, 1, 2, 3]


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 50), seed=st.integers(0, 1000))
def test_random_sampler_gives_every_index_once(n, seed):
    assert sorted(RandomSampler(range(n), generator=Generator(seed))) == list(range(n))


def test_random_sampler_changes_its_order_every_time():
    sampler = RandomSampler(range(50), generator=Generator(0))
    assert list(sampler) != list(sampler)


def test_random_sampler_with_more_samples_than_there_are():
    sampler = RandomSampler(range(4), num_samples=10, generator=Generator(0))
    drawn = list(sampler)
    assert len(drawn) == len(sampler) == 10
    assert sorted(drawn[:4]) == sorted(drawn[4:8]) == [0, 1, 2, 3]


def test_random_sampler_with_replacement_repeats_itself():
    drawn = list(RandomSampler(range(5), replacement=True, num_samples=100, generator=Generator(0)))
    assert len(drawn) == 100
    assert set(drawn) == {0, 1, 2, 3, 4}


def test_weighted_sampler_follows_its_weights():
    drawn = list(WeightedRandomSampler(tensor([1.0, 0.0, 3.0]), 4000, generator=Generator(0)))
    shares = np.bincount(drawn, minlength=3) / 4000
    assert shares[1] == 0
    assert shares[2] == pytest.approx(0.75, abs=0.03)


@pytest.mark.parametrize("weights", [[-1, 2], [0, 0], [np.nan, 1], [[1, 2]]])
def test_weighted_sampler_refuses_what_are_no_chances(weights):
    with pytest.raises(ValueError, match="weights"):
        WeightedRandomSampler(weights, 3)


@settings(max_examples=50, deadline=None)
@given(n=st.integers(0, 40), batch_size=st.integers(1, 12), drop_last=st.booleans())
def test_batch_sampler_keeps_the_order_and_knows_its_length(n, batch_size, drop_last):
    sampler = BatchSampler(range(n), batch_size, drop_last)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    kept = n - n % batch_size if drop_last else n
    assert [i for batch in batches for i in batch] == list(range(kept))
    assert all(len(batch) == batch_size for batch in batches[:-1])


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, None, True])
def test_batch_size_is_a_positive_int(batch_size):
    with pytest.raises(ValueError, match="batch_size has to be an int of at least 1"):
        DataLoader(pairs(), batch_size=batch_size)


# Collation


def test_collate_stacks_tensors_arrays_and_numbers():
    assert default_collate([tensor([1.0, 2.0]), tensor([3.0, 4.0])]).tolist() == [[1, 2], [3, 4]]
    assert default_collate([np.zeros((2, 3), np.uint8)] * 4).dtype == np.uint8
    assert default_collate([np.int64(3), np.int64(4)]).tolist() == [3, 4]
    assert default_collate([1, 2]).dtype == np.int64
    assert default_collate([0.5, 2]).dtype == np.float32
    assert default_collate([True, False]).dtype == np.bool_


def test_collate_goes_into_tuples_dicts_and_keeps_strings():
    point = namedtuple("point", "x y")
    batch = default_collate([{"at": point(1, 2.0), "name": "a"}, {"at": point(3, 4.0), "name": "b"}])
    assert batch["name"] == ["a", "b"]
    assert batch["at"].x.tolist() == [1, 3]
    assert batch["at"].y.tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("samples", "error", "words"),
    [
        ([tensor([1.0]), tensor([1.0, 2.0])], ValueError, r"\(1,\) and \(2,\) do not stack"),
        ([(1, 2), (1,)], ValueError, "different numbers of members"),
        ([object()], TypeError, "cannot make a batch of object"),
        ([tensor([1.0]).requires_grad_()], ValueError, "detach"),
    ],
)
def test_collate_says_why_it_cannot(samples, error, words):
    with pytest.raises(error, match=words):
        default_collate(samples)


# The loader


def test_loader_batches_in_order_and_keeps_the_short_rest():
    loader = DataLoader(pairs(), batch_size=4)
    assert labels_of(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert len(loader) == 3


def test_loader_drops_the_rest_when_told():
    loader = DataLoader(pairs(), batch_size=4, drop_last=True)
    assert labels_of(loader) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert len(loader) == 2


def test_loader_shuffles_anew_each_epoch_and_repeats_with_its_seed():
    loader, again = (DataLoader(pairs(), 10, shuffle=True, generator=Generator(3)) for _ in range(2))
    first, second = labels_of(loader), labels_of(loader)
    assert first != second
    assert sorted(first[0]) == list(range(10))
    assert [first, second] == [labels_of(again), labels_of(again)]


def test_loader_shuffles_by_the_default_generator():
    orders = []
    for _ in range(2):
        manual_seed(11)
        orders.append(labels_of(DataLoader(pairs(), batch_size=10, shuffle=True)))
    assert orders[0] == orders[1]


def test_rows_stay_with_their_labels_when_shuffled():
    for x, y in DataLoader(pairs(50), batch_size=7, shuffle=True, generator=Generator(0)):
        assert (x.array[:, 0] == 3 * y.array).all()


def test_the_short_way_gives_what_collating_samples_gives():
    fast = DataLoader(pairs(), batch_size=4, shuffle=True, generator=Generator(1))
    slow = DataLoader(pairs(), batch_size=4, shuffle=True, generator=Generator(1), collate_fn=default_collate)
    for (x, y), (x_slow, y_slow) in zip(fast, slow, strict=True):
        assert x.dtype == x_slow.dtype
        assert x.tolist() == x_slow.tolist()
        assert y.tolist() == y_slow.tolist()


@pytest.mark.parametrize("base", [TensorDataset, Subset])
def test_a_subclass_that_makes_its_own_samples_is_asked_for_them(base):
    class Doubled(base):
        def __getitem__(self, index):
            return tuple(2 * member for member in super().__getitem__(index))

    data = Doubled(np.arange(4)) if base is TensorDataset else Doubled(TensorDataset(np.arange(4)), range(4))
    ((batch,),) = DataLoader(data, batch_size=4)
    assert batch.tolist() == [0, 2, 4, 6]


def test_a_batch_does_not_share_memory_with_the_data():
    data = pairs()
    x, _ = next(iter(DataLoader(data, batch_size=4)))
    x.array[:] = -1
    assert data.tensors[0].array.min() == 0


def test_loader_takes_a_list():
    assert [batch.tolist() for batch in DataLoader([3, 1, 2], batch_size=2)] == [[3, 1], [2]]


def test_loader_takes_orders_of_the_callers_own():
    assert labels_of(DataLoader(pairs(), batch_size=2, sampler=[5, 1, 4])) == [[5, 1], [4]]
    assert labels_of(DataLoader(pairs(), batch_sampler=[[7], [2, 3]])) == [[7], [2, 3]]


def test_collate_fn_gets_the_list_of_samples():
    loader = DataLoader(Squares(4), batch_size=2, collate_fn=lambda samples: [y.item() for _, y in samples])
    assert list(loader) == [[0, 1], [4, 9]]


def test_an_empty_data_set_has_no_batches():
    assert list(DataLoader(pairs(0), batch_size=4, shuffle=True)) == []


def test_iterable_data_set_is_batched_as_it_comes():
    assert [batch.tolist() for batch in DataLoader(Countdown(5), batch_size=2)] == [[5, 4], [3, 2], [1]]
    assert len(list(DataLoader(Countdown(5), batch_size=2, drop_last=True))) == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shuffle": True, "sampler": [1]}, "shuffle and sampler came"),
        ({"sampler": [1], "batch_sampler": [[1]]}, "sampler and batch_sampler came"),
        ({"batch_sampler": [[1]], "batch_size": 3}, "leave these out"),
        ({"num_workers": -1}, "num_workers >= 0"),
        ({"prefetch_factor": 0}, "prefetch_factor >= 1"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        DataLoader(pairs(), **options)


def test_iterable_data_set_has_its_own_order():
    with pytest.raises(ValueError, match="order of its own"):
        DataLoader(Countdown(3), shuffle=True)


@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=threads)])
def test_an_error_in_the_data_set_names_the_sample(num_workers):
    seen, loader = [], DataLoader(Squares(20, broken=13), batch_size=4, num_workers=num_workers)
    with pytest.raises(OSError, match="damaged") as caught:
        seen.extend(y.tolist() for _, y in loader)
    assert len(seen) == 3, "the batches before the damaged one arrive"
    assert "sample 13 of Squares" in caught.value.__notes__[0]


# Resuming


def augmented(seed, **options):
    images = np.random.default_rng(0).random((23, 1, 6, 6), np.float32)
    return DataLoader(
        TensorDataset(images, np.arange(23)), batch_size=4, shuffle=True, generator=Generator(seed),
        transform=RandomCrop(6, padding=2), **options,
    )  # fmt: skip


def listed(batches):
    return [(x.tolist(), y.tolist()) for x, y in batches]


@pytest.mark.parametrize("done", range(7))
@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=threads)])
def test_a_loader_goes_on_in_the_middle_of_an_epoch(done, num_workers):
    whole = listed(augmented(1))
    stopped = augmented(1, num_workers=num_workers)
    iterator = iter(stopped)
    first = listed(next(iterator) for _ in range(min(done, 6)))
    if done > 6:
        assert next(iterator, None) is None
    resumed = augmented(999, num_workers=num_workers)
    resumed.load_state_dict(stopped.state_dict())
    rest = listed(resumed)
    if 0 < done < 7:
        assert first + rest == whole
    else:
        assert len(rest) == 6, "between epochs a state says: begin a new one"


def test_the_epoch_after_a_resumed_one_is_fresh():
    loader = augmented(1)
    next(iter(loader))
    other = augmented(1)
    other.load_state_dict(loader.state_dict())
    assert len(list(other)) == 5
    assert len(list(other)) == 6


# In the background


@threads
@pytest.mark.parametrize("num_workers", [1, 3])
def test_workers_change_nothing_but_the_time(num_workers):
    assert listed(augmented(4, num_workers=num_workers)) == listed(augmented(4))


@threads
def test_workers_read_an_iterable_data_set_in_order():
    loader = DataLoader(Countdown(7), batch_size=2, num_workers=3)
    assert [batch.tolist() for batch in loader] == [[7, 6], [5, 4], [3, 2], [1]]


@threads
def test_workers_run_ahead_but_not_further_than_asked():
    class Counted(Squares):
        fetched = 0
        enough = threading.Event()

        def __getitem__(self, index):
            Counted.fetched += 1
            if Counted.fetched == 4:
                Counted.enough.set()
            return super().__getitem__(index)

    iterator = iter(DataLoader(Counted(100), batch_size=1, num_workers=1, prefetch_factor=3))
    next(iterator)
    assert Counted.enough.wait(10), "one batch handed out and three ahead"
    assert Counted.fetched == 4
    iterator.close()


@threads
def test_leaving_the_loop_early_ends_the_threads():
    for _ in DataLoader(Squares(1000), batch_size=2, num_workers=2):
        break
    for thread in threading.enumerate():
        if thread.name.startswith("DataLoader"):
            thread.join(10)
            assert not thread.is_alive()


# Transforms


def images(n=5, c=3, h=8, w=6, dtype=np.float32, seed=0):
    return (np.random.default_rng(seed).random((n, c, h, w)) * 255).astype(dtype)


def test_normalize_gives_mean_zero_and_variance_one():
    x = images(n=50)
    out = Normalize(x.mean((0, 2, 3)), x.std((0, 2, 3)))(tensor(x)).array
    assert out.dtype == np.float32
    assert np.allclose(out.mean((0, 2, 3)), 0, atol=1e-4)
    assert np.allclose(out.std((0, 2, 3)), 1, atol=1e-4)


def test_normalize_reads_bytes_as_numbers_from_0_to_1():
    x = images(dtype=np.uint8)
    from_bytes, from_floats = Normalize(0.5, 0.25)(x), Normalize(0.5, 0.25)(x / np.float32(255))
    assert np.allclose(from_bytes.array, from_floats.array, atol=1e-6)
    assert from_bytes.dtype == np.float32


def reference_crop(x, padding, mode, size, top, left):
    padded = np.pad(x, ((0, 0), (padding, padding), (padding, padding)), mode=mode)
    return padded[:, top : top + size[0], left : left + size[1]]


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize(("size", "padding"), [((8, 6), 2), ((5, 4), 0), ((5, 4), 1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_random_crop_cuts_a_window_of_each_padded_image(mode, size, padding, dtype):
    x = images(dtype=dtype)
    out = RandomCrop(size, padding, mode)(tensor(x), Generator(7))
    assert out.dtype == dtype
    for image, crop in zip(x, out.array, strict=True):
        windows = [
            reference_crop(image, padding, mode, size, top, left)
            for top in range(8 + 2 * padding - size[0] + 1)
            for left in range(6 + 2 * padding - size[1] + 1)
        ]
        assert any((crop == window).all() for window in windows)


def test_random_crop_moves_each_image_on_its_own():
    same = np.repeat(images(n=1), 40, axis=0)
    out = RandomCrop((8, 6), padding=2)(same, Generator(0)).array
    assert len({crop.tobytes() for crop in out}) > 10


def test_flip_mirrors_some_images_and_leaves_the_others():
    x = images(n=200)
    out = RandomHorizontalFlip(0.25)(x, Generator(0)).array
    flipped = (out == x[..., ::-1]).all((1, 2, 3))
    assert ((out == x).all((1, 2, 3)) | flipped).all()
    assert 25 <= flipped.sum() <= 75
    assert (RandomHorizontalFlip(1)(x).array == x[..., ::-1]).all()
    assert (RandomHorizontalFlip(0)(x).array == x).all()


def test_cutout_blanks_one_square():
    x = np.ones((300, 2, 9, 9), np.float32)
    out = Cutout(3)(x, Generator(0)).array
    assert (out[:, 0] == out[:, 1]).all(), "every channel of an image loses the same square"
    blank = (out[:, 0] == 0).sum((1, 2))
    assert blank.max() == 9
    assert blank.min() == 4, "a square at a corner lies partly outside"
    for image in out[:, 0]:
        rows, columns = np.nonzero(image == 0)
        assert (np.ptp(rows) + 1) * (np.ptp(columns) + 1) == len(rows)


@pytest.mark.parametrize(
    "transform",
    [RandomCrop(4, 1, "reflect"), RandomHorizontalFlip(), Cutout(2), Compose([RandomCrop(5), Cutout(2)])],
)
def test_transforms_repeat_with_their_generator_and_leave_the_input_alone(transform):
    x = images()
    before = x.copy()
    first, second = (transform(wrap(x), Generator(3)).array for _ in range(2))
    assert (first == second).all()
    assert (x == before).all()


def test_grey_images_need_no_channel_dimension():
    x = images(c=1)
    with_channel = Compose([RandomCrop(4, 1), Normalize(0.5, 2.0)])(x, Generator(1)).array
    without = Compose([RandomCrop(4, 1), Normalize(0.5, 2.0)])(x[:, 0], Generator(1)).array
    assert without.shape == (5, 4, 4)
    assert (with_channel[:, 0] == without).all()


def test_an_empty_batch_passes_every_transform():
    normalize = Normalize([0.5] * 3, [1.0] * 3)
    chain = Compose([RandomCrop(4, 1, "reflect"), RandomHorizontalFlip(), normalize, Cutout(2)])
    assert chain(images(n=0)).shape == (0, 3, 4, 4)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RandomCrop(12)(images()), r"\(12, 12\) does not fit into \(8, 6\)"),
        (lambda: RandomCrop(4, 1, "mirror"), "padding_mode is constant, reflect or edge, 'mirror' came"),
        (lambda: RandomHorizontalFlip(1.5), "p is a probability, 1.5 came"),
        (lambda: Cutout(0), "at least 1 pixel"),
        (lambda: Normalize(0.5, 0.0), "std has to be above 0"),
        (lambda: Cutout(2)(np.zeros((3, 3))), r"images \(N, …, H, W\) are needed, \(3, 3\) came"),
    ],
)
def test_a_transform_says_what_it_cannot_do(make, words):
    with pytest.raises(ValueError, match=words):
        make()


# Against PyTorch


@pytest.fixture(scope="module")
def torch_data():
    pytest.importorskip("torch", reason="PyTorch, the oracle of this test, is not installed")
    import torch.utils.data

    return torch.utils.data


@pytest.mark.parametrize("batch_size", [1, 4, 10, 16])
@pytest.mark.parametrize("drop_last", [False, True])
def test_loader_gives_the_batches_of_pytorch(torch_data, batch_size, drop_last):
    import torch

    x, y = np.arange(30, dtype=np.float32).reshape(10, 3), np.arange(10)
    ours = DataLoader(TensorDataset(x, y), batch_size, drop_last=drop_last)
    theirs = torch_data.DataLoader(
        torch_data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y)), batch_size, drop_last=drop_last
    )
    assert len(ours) == len(theirs)
    for batch, expected in zip(ours, theirs, strict=True):
        assert type(batch) is type(expected)
        for member, expected_member in zip(batch, expected, strict=True):
            assert isinstance(member, Tensor)
            assert member.tolist() == expected_member.tolist()
            assert member.dtype == expected_member.numpy().dtype


@pytest.mark.parametrize("lengths", [[0.34, 0.33, 0.33], [0.1] * 10, [0.25, 0.75], [4, 7]])
def test_random_split_gives_the_sizes_of_pytorch(torch_data, lengths):
    assert [len(part) for part in random_split(range(11), lengths)] == [
        len(part) for part in torch_data.random_split(range(11), lengths)
    ]

"""The .safetensors format, with the safetensors library as the oracle both ways, and files that lie."""

import contextlib
import io
import json
import os

import numpy as np
import pytest

import tinytorch as tt
from tinytorch.utils.safetensors import load_metadata

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]


@pytest.fixture(scope="module")
def library():
    return pytest.importorskip(
        "safetensors.numpy", reason="the safetensors library is the oracle of this test"
    )


def tensors_of_every_kind():
    rng = np.random.default_rng(0)
    tensors = {dtype: tt.tensor((rng.standard_normal((3, 5)) * 50).astype(dtype)) for dtype in DTYPES}
    return tensors | {
        "empty": tt.zeros(0, 3),
        "scalar": tt.tensor(2.5),
        "transposed": tt.arange(6).reshape(2, 3).T,
        "ünïcode.name": tt.ones(1),
    }


def assert_same(loaded, tensors):
    assert loaded.keys() == tensors.keys()
    for name, expected in tensors.items():
        got = loaded[name] if isinstance(loaded[name], np.ndarray) else loaded[name].numpy()
        assert (got.dtype, got.shape) == (expected.dtype, expected.shape), name
        assert np.array_equal(got, expected.numpy()), name


def test_the_library_reads_what_we_write(library, tmp_path):
    tensors = tensors_of_every_kind()
    tt.save(tensors, tmp_path / "x.safetensors")
    assert_same(library.load_file(tmp_path / "x.safetensors"), tensors)


def test_we_read_what_the_library_writes(library, tmp_path):
    tensors = tensors_of_every_kind()
    arrays = {name: value.numpy().copy() for name, value in tensors.items()}
    library.save_file(arrays, tmp_path / "x.safetensors", {"made by": "the library"})
    assert_same(tt.load(str(tmp_path / "x.safetensors")), tensors)
    assert load_metadata(tmp_path / "x.safetensors") == {"made by": "the library"}


def test_every_tensor_lies_aligned_in_the_file(library, tmp_path):
    tt.save(
        {"a": tt.tensor([True]), "b": tt.ones(1, dtype=tt.float64), "c": tt.ones(3).half()}, tmp_path / "x"
    )
    data = (tmp_path / "x").read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    widths = {"BOOL": 1, "F64": 8, "F16": 2}
    assert size % 8 == 0
    assert all(entry["data_offsets"][0] % widths[entry["dtype"]] == 0 for entry in header.values())


def test_pytorch_and_we_exchange_weights(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test and is not installed")
    stored = pytest.importorskip("safetensors.torch", reason="the safetensors library is not installed")
    ours = tt.nn.Sequential(tt.nn.Linear(4, 3), tt.nn.ReLU(), tt.nn.Linear(3, 2))
    theirs = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    tt.save(ours.state_dict(), tmp_path / "ours.safetensors")
    theirs.load_state_dict(stored.load_file(tmp_path / "ours.safetensors"))
    x = np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
    with tt.no_grad():
        expected = theirs(torch.tensor(x)).detach().numpy()
        np.testing.assert_allclose(ours(tt.tensor(x)).numpy(), expected, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        theirs[0].weight.fill_(0.25)
    stored.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    ours.load_state_dict(tt.load(tmp_path / "theirs.safetensors"))
    assert ours[0].weight.tolist() == [[0.25] * 4] * 3


def test_bfloat16_comes_back_as_float32(tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test and is not installed")
    stored = pytest.importorskip("safetensors.torch", reason="the safetensors library is not installed")
    values = torch.randn(7, 3, generator=torch.Generator().manual_seed(0)).bfloat16()
    stored.save_file({"x": values}, tmp_path / "x.safetensors")
    loaded = tt.load(tmp_path / "x.safetensors")["x"]
    assert loaded.dtype == tt.float32
    assert loaded.tolist() == values.float().tolist()


def test_file_objects_and_metadata(tmp_path):
    buffer = io.BytesIO()
    tt.save({"x": tt.arange(3)}, buffer, metadata={"note": "three"})
    buffer.seek(0)
    assert tt.load(buffer)["x"].tolist() == [0, 1, 2]
    (tmp_path / "x").write_bytes(buffer.getvalue())
    assert load_metadata(tmp_path / "x") == {"note": "three"}


def test_what_is_loaded_can_be_changed(tmp_path):
    tt.save({"x": tt.zeros(3)}, tmp_path / "x")
    x = tt.load(tmp_path / "x", map_location="cpu", weights_only=True)["x"]
    x[0] = 1.0
    assert x.tolist() == [1.0, 0.0, 0.0]


def test_a_checkpoint_of_nested_values_comes_back_as_it_was(tmp_path):
    model = tt.nn.Linear(3, 2)
    optimizer = tt.optim.Adam(model.parameters(), lr=0.1)
    model(tt.ones(1, 3)).sum().backward()
    optimizer.step()
    checkpoint = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3, "best": 0.25,
        "history": {"loss": [1.5, float("inf")]}, "shape": (1, (2,)), "none": None, "flag": True,
        "tensors": [tt.ones(2), {"x": tt.zeros(1)}], "numpy": np.float32(0.5), "text": "ünïcode",
        "big": 2**100, "nothing": [],
    }  # fmt: skip
    tt.save(checkpoint, tmp_path / "x.safetensors")
    loaded = tt.load(tmp_path / "x.safetensors")
    assert loaded.keys() == checkpoint.keys()
    for key in ("epoch", "best", "history", "shape", "none", "flag", "big", "nothing", "numpy", "text"):
        assert loaded[key] == checkpoint[key]
    assert isinstance(loaded["shape"], tuple)
    assert loaded["tensors"][1]["x"].tolist() == [0.0]
    assert loaded["optimizer"]["param_groups"] == checkpoint["optimizer"]["param_groups"]
    assert loaded["optimizer"]["state"][0]["step"] == 1
    model.load_state_dict(loaded["model"])
    optimizer.load_state_dict(loaded["optimizer"])


def test_the_tensors_of_a_checkpoint_are_there_for_others_by_their_paths(library, tmp_path):
    tt.save({"model": {"0.weight": tt.ones(2)}, "epoch": 1}, tmp_path / "x")
    assert library.load_file(tmp_path / "x")["model.0.weight"].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("obj", "error", "message"),
    [
        (
            {"model": tt.nn.Linear(1, 1)},
            TypeError,
            "'model' is a Linear; a file holds Tensors, numbers, strings",
        ),
        ({"a": {"f": len}}, TypeError, "'a.f' is a builtin_function_or_method"),
        ({(1, 2): 3}, TypeError, "with names or whole numbers as keys"),
        (tt.ones(2), ValueError, "give each tensor a name of its own, in a dict"),
        ({"a": {"b": tt.ones(1)}, "a.b": tt.ones(1)}, ValueError, "'a.b' does not do"),
        ({"x": np.array([1j])}, TypeError, "the format has no complex128"),
        ({"__metadata__": tt.ones(1)}, ValueError, "can't be called '__metadata__'"),
    ],
)
def test_what_a_file_cannot_hold_is_refused_and_the_old_file_stays(tmp_path, obj, error, message):
    tt.save({"x": tt.ones(1)}, tmp_path / "x")
    with pytest.raises(error, match=message):
        tt.save(obj, tmp_path / "x")
    assert tt.load(tmp_path / "x")["x"].tolist() == [1.0]
    assert os.listdir(tmp_path) == ["x"]


def test_a_structure_too_deep_to_be_read_again_is_not_written(tmp_path):
    nested = [tt.ones(1)]
    for _ in range(300):
        nested = [nested]
    with pytest.raises(ValueError, match="nested more than 200 levels deep"):
        tt.save({"x": nested}, tmp_path / "x")
    assert not os.listdir(tmp_path)


def test_brackets_in_a_name_are_not_nesting(tmp_path):
    name = '["{' * 300
    tt.save({"a": {name: tt.ones(2)}}, tmp_path / "x")
    assert tt.load(tmp_path / "x")["a"][name].tolist() == [1.0, 1.0]


def test_metadata_maps_strings_to_strings(tmp_path):
    with pytest.raises(TypeError, match="metadata maps strings to strings"):
        tt.save({"x": tt.ones(1)}, tmp_path / "x", metadata={"epoch": 3})


def test_a_write_that_fails_halfway_leaves_the_old_file(tmp_path, monkeypatch):
    tt.save({"x": tt.ones(1)}, tmp_path / "x")

    def disk_is_full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", disk_is_full)
    with pytest.raises(OSError, match="No space left"):
        tt.save({"x": tt.zeros(1)}, tmp_path / "x")
    assert tt.load(tmp_path / "x")["x"].tolist() == [1.0]
    assert os.listdir(tmp_path) == ["x"]


def test_missing_folders_and_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        tt.save({"x": tt.ones(1)}, tmp_path / "nowhere" / "x")
    with pytest.raises(FileNotFoundError, match=r"nothing\.safetensors"):
        tt.load(tmp_path / "nothing.safetensors")


def file_with(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


BODY = bytes(8)
DUPLICATE = b'{"x": %s, "x": %s}' % ((json.dumps(entry()).encode(),) * 2)
HOSTILE = {
    "an empty file": (b"", "it has 0 bytes"),
    "shorter than the length": (b"\x01\x00", "it has 2 bytes"),
    "a header longer than the file": (
        (1 << 40).to_bytes(8, "little") + b"{}",
        "header should take 1099511627776",
    ),
    "a header beyond the limit": ((1 << 63).to_bytes(8, "little") + b"{}", "at most 100000000 are allowed"),
    "a truncated header": (file_with({"x": entry()}, BODY)[:30], "its header should take"),
    "truncated data": (file_with({"x": entry()}, BODY[:-1]), "'x' is at bytes 0 to 8"),
    "not JSON": (file_with(b"not json", BODY), "its header is not JSON"),
    "not UTF-8": (file_with(b"\xff\xfe{}", BODY), "its header is not JSON"),
    "nested without end": (file_with(b"[" * 100_000), "nested more than 200 levels deep"),
    "a number without end": (
        file_with(b'{"x": ' + b"9" * 5000 + b"}"),
        "integer string conversion|entry of 'x'",
    ),
    "not an object": (file_with([1, 2], BODY), "not a JSON object"),
    "a name twice": (file_with(DUPLICATE, BODY), "occurs twice"),
    "an entry that is none": (file_with({"x": 5}, BODY), "entry of 'x'"),
    "an entry without offsets": (file_with({"x": {"dtype": "F32", "shape": [2]}}, BODY), "entry of 'x'"),
    "an unknown dtype": (file_with({"x": entry("F1")}, BODY), "dtype F1; known are"),
    "a dtype that is a list": (file_with({"x": entry(["F32"])}, BODY), "not a sound"),
    "a negative size": (file_with({"x": entry(shape=(-2,))}, BODY), r"shape \[-2\]"),
    "a size that is a bool": (file_with({"x": entry(shape=(True, 2))}, BODY), "lists of whole numbers"),
    "a size that is a float": (file_with({"x": entry(shape=(2.0,))}, BODY), "lists of whole numbers"),
    "a shape of another size": (
        file_with({"x": entry(shape=(3,))}, BODY),
        r"shape \[3\] and dtype F32 has 8 bytes",
    ),
    "sizes beyond every memory": (file_with({"x": entry(shape=(0, 1 << 80), offsets=(0, 0))}), "not a sound"),
    "too many dimensions": (file_with({"x": entry(shape=(1,) * 200 + (2,))}, BODY), "not a sound"),
    "one offset": (file_with({"x": entry(offsets=(0,))}, BODY), "a start and an end"),
    "offsets that run backwards": (file_with({"x": entry(offsets=(8, 0))}, BODY), "a start and an end"),
    "offsets behind the end": (file_with({"x": entry(offsets=(8, 16))}, BODY), "'x' is at bytes 8 to 16"),
    "overlapping tensors": (
        file_with({"x": entry(), "y": entry(offsets=(4, 12))}, bytes(12)),
        "'y' is at bytes 4",
    ),
    "two tensors in one place": (file_with({"x": entry(), "y": entry()}, BODY), "is at bytes 0 to 8"),
    "a hole between tensors": (
        file_with({"x": entry(), "y": entry(offsets=(12, 20))}, bytes(20)),
        "'y' is at bytes 12",
    ),
    "bytes that belong to nothing": (file_with({"x": entry()}, bytes(9)), "ends at byte 8 and the data at 9"),
    "metadata that is no map": (file_with({"__metadata__": [], "x": entry()}, BODY), "metadata"),
    "metadata with numbers": (file_with({"__metadata__": {"a": 1}, "x": entry()}, BODY), "metadata"),
    "a bool that is 2": (file_with({"x": entry("BOOL", (1,), (0, 1))}, b"\x02"), "bools other than 0 and 1"),
    "a structure that is not JSON": (file_with({"__metadata__": {"tinytorch": "{"}}), "not a sound"),
    "a structure nested without end": (
        file_with({"__metadata__": {"tinytorch": '{"a":' * 100_000}}),
        "nested more than 200 levels deep",
    ),
    "a structure of a missing tensor": (
        file_with({"__metadata__": {"tinytorch": '{"tensor": "y"}'}}),
        "not a sound",
    ),
    "a structure of another kind": (
        file_with({"__metadata__": {"tinytorch": '{"code": 1, "x": 2}'}}),
        "not a sound",
    ),
    "a pickle in a zip": (b"PK\x03\x04" + bytes(100), "pickles are not read: save with safetensors.torch"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "message"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_damaged_or_hostile_file_is_refused_with_its_reason(tmp_path, data, message):
    (tmp_path / "x.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        tt.load(tmp_path / "x.safetensors")
    assert "x.safetensors is not a sound .safetensors file" in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_every_truncation_and_every_changed_header_byte_is_an_error_or_a_sound_file():
    buffer = io.BytesIO()
    tt.save({"a": tt.arange(3), "b": {"c": tt.ones(2)}, "n": 1}, buffer)
    data = buffer.getvalue()
    for length in range(len(data)):
        with pytest.raises(ValueError, match="not a sound"):
            tt.load(io.BytesIO(data[:length]))
    rng = np.random.default_rng(0)
    for place in range(8 + int.from_bytes(data[:8], "little")):
        changed = bytearray(data)
        changed[place] ^= int(rng.integers(1, 256))
        with contextlib.suppress(ValueError):  # any other error fails the test
            tt.load(io.BytesIO(bytes(changed)))

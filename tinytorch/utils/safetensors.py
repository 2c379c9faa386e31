"""The .safetensors format: tensors in a file that holds no code, readable by PyTorch and the other way round.

A file is the length of the header (8 bytes, little-endian), the header (JSON: name, dtype, shape and place
of each tensor, and "__metadata__", a map from strings to strings), and the tensors' bytes, little-endian.
The format: https://github.com/huggingface/safetensors#format

`save` also takes nested dicts, lists and tuples with numbers and strings in them, such as a checkpoint: the
tensors go into the file under their paths ("model.0.weight"), the rest into the metadata.
"""

import json
import os
import re
from contextlib import suppress

import numpy as np

from ..core.tensor import Tensor, wrap

DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "|i1",
    "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
NAMES = {np.dtype(code): name for name, code in DTYPES.items()}
LONGEST_HEADER = 100_000_000  # bytes, the limit of the format's own library
DEEPEST_JSON = 200
STRUCTURE = "tinytorch"  # the metadata's entry for what is not a tensor


def save(obj, file, metadata=None):
    """Write tensors as .safetensors: a dict of Tensors (a state_dict), or nested dicts, lists and tuples.

    file: a path, or a binary file open for writing. A path is written whole or not at all.
    metadata: a dict from strings to strings that goes into the header.
    """
    tensors: dict = {}
    metadata = dict(metadata or {})
    if any(not isinstance(text, str) for item in metadata.items() for text in item):
        raise TypeError(f"save: metadata maps strings to strings; this came: {metadata}")
    outline = _outlined(obj, "", tensors)
    if not isinstance(obj, dict) or set(tensors) != set(obj):
        metadata[STRUCTURE] = checked_depth(json.dumps(outline))
    parts = _encoded({name: _on_cpu(value) for name, value in tensors.items()}, metadata)
    if hasattr(file, "write"):
        for part in parts:
            file.write(part)
    else:
        write_atomically(os.fspath(file), parts)


def load(file, map_location=None, weights_only=True):
    """What `save` wrote, or the dict of Tensors in any .safetensors file. BF16 comes back as float32.

    file: a path, or a binary file open for reading. A damaged file raises ValueError and says what is wrong.
    map_location: the device of the tensors, "cpu" or "cuda".
    weights_only: accepted as in PyTorch; no file can hold anything else.
    """
    if hasattr(file, "read"):
        name, data = getattr(file, "name", "the file"), file.read()
    else:
        name = os.fspath(file)
        with open(file, "rb") as opened:
            data = opened.read()
    try:
        tensors, metadata = _decoded(data)
        if map_location is not None:
            tensors = {key: value.to(map_location) for key, value in tensors.items()}
        return (
            _rebuilt(json.loads(checked_depth(metadata[STRUCTURE])), tensors)
            if STRUCTURE in metadata
            else tensors
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        pickled = data[:2] in (b"PK", b"\x80\x02")
        hint = "; pickles are not read: save with safetensors.torch.save_file in PyTorch" if pickled else ""
        raise ValueError(f"load: {name} is not a sound .safetensors file: {error}{hint}") from None


def load_metadata(file):
    """The metadata of a .safetensors file at a path: a dict from strings to strings."""
    with open(file, "rb") as opened:
        start = opened.read(8)
        try:
            return _header(start + opened.read(_header_size(start, os.path.getsize(file))))[0]
        except ValueError as error:
            raise ValueError(f"load_metadata: {file} is not a sound .safetensors file: {error}") from None


def _on_cpu(value):
    array = value.array if isinstance(value, Tensor) else value
    array = array if isinstance(array, np.ndarray) else array.get()
    if array.dtype.newbyteorder("<") not in NAMES:
        raise TypeError(f"save: the format has no {array.dtype}; it has {', '.join(map(str, NAMES))}")
    return array


def _encoded(arrays, metadata):
    """The file in parts: length, header, each array's bytes. The widest dtype first keeps all aligned."""
    header, parts, offset = {"__metadata__": metadata} if metadata else {}, [], 0
    if "__metadata__" in arrays:
        raise ValueError("save: a tensor can't be called '__metadata__'; the format uses that name")
    for name in sorted(arrays, key=lambda name: -arrays[name].itemsize):
        array = arrays[name]
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        end = offset + little.nbytes
        place = {"data_offsets": [offset, end]}
        header[name] = {"dtype": NAMES[little.dtype], "shape": list(array.shape)} | place
        parts.append(little.tobytes())
        offset = end
    text = json.dumps({name: header[name] for name in ["__metadata__", *arrays] if name in header}).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little"), text, *parts]


def write_atomically(path, parts):
    """Write beside the target, then rename: an interruption leaves the old file as it was. A file that is
    replaced keeps its permissions.
    """
    folder, name = os.path.split(path)
    if not os.path.isdir(folder or "."):
        raise FileNotFoundError(f"save: there is no folder {folder}")
    temporary = os.path.join(folder, f".{name}.{os.getpid()}.part")
    try:
        with open(temporary, "wb") as opened:
            for part in parts:
                opened.write(part)
            opened.flush()
            os.fsync(opened.fileno())
        if os.path.exists(path):
            with suppress(OSError):
                os.chmod(temporary, os.stat(path).st_mode)
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _header_size(start, file_size):
    if file_size < 8:
        raise ValueError(f"it has {file_size} bytes and the length of the header alone takes 8")
    size = int.from_bytes(start[:8], "little")
    if size > min(file_size - 8, LONGEST_HEADER):
        raise ValueError(
            f"its header should take {size} of its {file_size} bytes; at most {LONGEST_HEADER} are allowed"
        )
    return size


def _header(data):
    """(metadata, {name: entry}) from the first bytes of a file, the header included."""
    try:
        header = json.loads(checked_depth(data[8:].decode()), object_pairs_hook=_without_duplicates)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"its header is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("its metadata does not map strings to strings")
    return metadata, header


def checked_depth(text):
    """The JSON text as it is, unless it is nested so deeply that reading it could overflow the stack."""
    depth = 0
    for token in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        if depth > DEEPEST_JSON:
            raise ValueError(f"JSON is nested more than {DEEPEST_JSON} levels deep")
    return text


def _without_duplicates(pairs):
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise ValueError("a name occurs twice in its header")
    return unique


def _decoded(data):
    """({name: Tensor}, metadata) of a whole file. Each byte behind the header belongs to one tensor."""
    size = _header_size(data, len(data))
    metadata, header = _header(data[: 8 + size])
    body, expected, arrays = memoryview(data)[8 + size :], 0, {}
    for name, entry in sorted(header.items(), key=lambda item: _offsets(*item)):
        start, end = _offsets(name, entry)
        if start != expected or end > len(body):
            bounds = f"it begins at {expected} and ends by {len(body)} in a sound file"
            raise ValueError(f"'{name}' is at bytes {start} to {end}; {bounds}")
        arrays[name], expected = _array(name, entry, body[start:end]), end
    if expected != len(body):
        raise ValueError(f"the last tensor ends at byte {expected} and the data at {len(body)}")
    return {name: wrap(arrays[name]) for name in header}, metadata


def _offsets(name, entry):
    """Where a tensor's bytes are; an entry that is not of the format is a ValueError."""
    if not isinstance(entry, dict) or not {"dtype", "shape", "data_offsets"} <= entry.keys():
        raise ValueError(f"the entry of '{name}' is not {{dtype, shape, data_offsets}}")
    shape, offsets = entry["shape"], entry["data_offsets"]
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or any(type(n) is not int or n < 0 for n in numbers):
            raise ValueError(
                f"'{name}' has shape {shape} and offsets {offsets}; these are lists of whole numbers"
            )
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"'{name}' has offsets {offsets}; they are a start and an end")
    return tuple(offsets)


def _array(name, entry, data):
    """One tensor's bytes as an array of its own."""
    brain = entry["dtype"] == "BF16"  # the upper half of a float32
    if not brain and entry["dtype"] not in DTYPES:
        raise ValueError(f"'{name}' has dtype {entry['dtype']}; known are BF16, {', '.join(DTYPES)}")
    dtype, count = np.dtype("<u2" if brain else DTYPES[entry["dtype"]]), 1
    for length in entry["shape"]:
        count *= length
    if len(data) != count * dtype.itemsize:
        raise ValueError(
            f"'{name}' of shape {entry['shape']} and dtype {entry['dtype']} has {len(data)} bytes"
        )
    array = np.frombuffer(data, dtype).reshape(entry["shape"])
    if brain:
        return (array.astype(np.uint32) << 16).view(np.float32)
    if dtype.kind == "b" and np.any(array.view(np.uint8) > 1):
        raise ValueError(f"'{name}' holds bools other than 0 and 1")
    return array.astype(dtype.newbyteorder("="))


# The structure around the tensors, as JSON: {"tensor": its name in the file}, {"dict": [[key, value], …]},
# {"tuple": […]}, lists and plain values as they are. Pairs, because the key 0 of a JSON object would be "0".


def _outlined(value, path, tensors):
    """`value` as JSON; its tensors go into `tensors` under their paths."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (Tensor, np.ndarray)):
        if not path or path in tensors:
            raise ValueError(f"save: give each tensor a name of its own, in a dict; '{path}' does not do")
        tensors[path] = value
        return {"tensor": path}
    if isinstance(value, dict) and all(isinstance(key, (str, int)) for key in value):
        return {"dict": [[key, _outlined(v, _joined(path, key), tensors)] for key, v in value.items()]}
    if isinstance(value, (list, tuple)):
        members = [_outlined(v, _joined(path, i), tensors) for i, v in enumerate(value)]
        return members if isinstance(value, list) else {"tuple": members}
    raise TypeError(
        f"save: '{path}' is a {type(value).__name__}; a file holds Tensors, numbers, strings, bools, None, "
        "and dicts (with names or whole numbers as keys), lists and tuples of them"
    )


def _joined(path, key):
    return f"{path}.{key}" if path else str(key)


def _rebuilt(outline, tensors):
    """The value that `_outlined` described."""
    if isinstance(outline, list):
        return [_rebuilt(member, tensors) for member in outline]
    if not isinstance(outline, dict):
        return outline
    ((kind, content),) = outline.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _rebuilt(value, tensors) for key, value in content}
    return tuple(_rebuilt(member, tensors) for member in content)

"""A production bundle: a folder that holds all a service needs of a network, and the figures it was
measured by.

    model.safetensors   the weights: int8 and 4-bit, packed and compressed
    config.json         which network, which layers have how many bits, SHA-256 of the weights, format
    labels.json         the names of the classes, or
    tokenizer.json      the characters that a language model knows
    figures.json        what was measured, on which machine, when
    card.md             the model card, for people

Nothing in it is code, and reading one runs none: no pickle, limits on every size, a hash on the weights.
"""

import hashlib
import io
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import LABELS, MODELS, Entry, script

# isort: split
import tinytorch as tt
from tinytorch.core.compression import load_compressed, save_compressed
from tinytorch.core.quantization import layers_to_quantize, quantize
from tinytorch.core.tokenization import CharTokenizer
from tinytorch.utils.safetensors import write_atomically

FORMAT = 1
LARGEST_TEXT, LARGEST_WEIGHTS = 1 << 20, 64 << 20  # bytes; of the weights also after they are expanded
LARGEST_GROUP = 1 << 12  # weights that share a scale


class BundleError(ValueError):
    """A folder that is not a sound bundle; the message says why."""


@dataclass
class Bundle:
    """A bundle that was read. model: in evaluation mode, its weights as small as in the file."""

    config: dict[str, Any]
    model: Any
    labels: list[str] = field(default_factory=list)
    tokenizer: Any = None
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def entry(self) -> Entry:
        return MODELS[self.config["model"]]

    @property
    def name(self) -> str:
        return self.entry.name


def packed(model: Any, four_bits: list[str], group_size: int = 32) -> Any:
    """A copy with the weights of these layers in 4 bits and of all others in 8."""
    others = [path for path in layers_to_quantize(model) if path not in four_bits]
    if others:
        model = quantize(model, bits=8, skip=four_bits)
    return quantize(model, bits=4, group_size=group_size) if four_bits else model


def write_bundle(
    folder: Path, entry: Entry, model: Any, recipe: dict[str, Any], figures: dict[str, Any], card: str
) -> None:
    """Write a bundle, whole or not at all. recipe: the arguments of `packed`. A bundle that is there is
    replaced; BundleError where there is something else.
    """
    if folder.exists() and not (folder / "config.json").is_file():
        raise BundleError(f"{folder} is there and is no bundle; remove it, or name another folder")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        nbytes = save_compressed(model, new / "model.safetensors")
        digest = hashlib.sha256((new / "model.safetensors").read_bytes()).hexdigest()
        config = {
            "format": FORMAT, "model": entry.name, "recipe": recipe, "sample_shape": list(entry.sample_shape),
            "weights": {"file": "model.safetensors", "bytes": nbytes, "sha256": digest},
        }  # fmt: skip
        _write(new / "config.json", config)
        if entry.name in LABELS:
            _write(new / "labels.json", LABELS[entry.name])
        else:
            script(entry.path).tokenizer.save(new / "tokenizer.json")
        _write(new / "figures.json", figures)
        (new / "card.md").write_text(card, encoding="utf-8")
        old = Path(scratch) / "old"
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise


def add_figures(folder: Path, figures: dict[str, Any], card: str) -> None:
    """Add figures to a bundle that is there, and text to its card."""
    known = _read(folder / "figures.json", dict)
    _write(folder / "figures.json", {**known, **figures})
    text = (folder / "card.md").read_text(encoding="utf-8")
    _replace(folder / "card.md", text.partition(f"\n{card.splitlines()[0]}\n")[0] + f"\n{card}")


def read_bundle(folder: Path) -> Bundle:
    """The bundle in a folder. Raises BundleError if it is incomplete, damaged, large or unknown."""
    if not folder.is_dir():
        raise BundleError(f"{folder} is not a folder; compress.py writes bundles")
    config = _read(folder / "config.json", dict)
    if config.get("format") != FORMAT:
        raise BundleError(f"{folder}: format {config.get('format')!r} is not known, {FORMAT} is")
    entry = MODELS.get(str(config.get("model")))
    if entry is None:
        raise BundleError(f"{folder}: the network {config.get('model')!r} is not known")
    try:
        weights, recipe = config["weights"], config["recipe"]
        digest, four_bits, group_size = weights["sha256"], list(recipe["four_bits"]), recipe["group_size"]
    except KeyError as error:
        raise BundleError(f"{folder}: config.json lacks {error}") from None
    except TypeError:
        raise BundleError(f"{folder}: weights and recipe in config.json are not as expected") from None
    if not isinstance(group_size, int) or not 2 <= group_size <= LARGEST_GROUP:
        raise BundleError(f"{folder}: group_size is from 2 to {LARGEST_GROUP}, {group_size!r} came")
    if config.get("sample_shape") != list(entry.sample_shape):
        raise BundleError(f"{folder}: sample_shape in config.json is not that of {entry.name}")
    file = folder / "model.safetensors"
    if not file.is_file():
        raise BundleError(f"{folder}: model.safetensors is missing")
    if file.stat().st_size > LARGEST_WEIGHTS:
        raise BundleError(f"{file} has more than {LARGEST_WEIGHTS:,} bytes")
    try:
        if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            raise BundleError(f"{file} is not the file that config.json names: its SHA-256 differs")
        model = packed(entry.build(), four_bits, group_size)
        model.load_state_dict(load_compressed(file, LARGEST_WEIGHTS))
    except BundleError:
        raise
    except OSError as error:
        raise BundleError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, RuntimeError, TypeError, AttributeError) as error:
        raise BundleError(f"{folder}: the weights do not fit the network: {error}") from None
    found = Bundle(config, model.eval(), figures=_read(folder / "figures.json", dict))
    if entry.name in LABELS:
        found.labels = [str(label) for label in _read(folder / "labels.json", list)]
        if len(found.labels) != len(LABELS[entry.name]):
            raise BundleError(f"{folder}: {len(found.labels)} labels, {len(LABELS[entry.name])} are needed")
    else:
        found.tokenizer = _tokenizer(folder / "tokenizer.json")
        if len(found.tokenizer) != model.config.vocab_size:
            raise BundleError(
                f"{folder}: the tokenizer has {len(found.tokenizer)} tokens, the network "
                f"{model.config.vocab_size}"
            )
    return found


def _tokenizer(path: Path) -> Any:
    _read(path, dict)  # it is there, and not too large
    try:
        return CharTokenizer.load(path)
    except ValueError as error:
        raise BundleError(str(error)) from None


def _write(path: Path, value: Any) -> None:
    _replace(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _replace(path: Path, text: str) -> None:
    write_atomically(str(path), [text.encode()])


def _read(path: Path, kind: type) -> Any:
    try:
        if path.stat().st_size > LARGEST_TEXT:
            raise BundleError(f"{path} has more than {LARGEST_TEXT:,} bytes")
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BundleError(f"{path} is missing") from None
    except (ValueError, OSError, RecursionError) as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(f"{path} cannot be read: {error}") from None
    if not isinstance(value, kind):
        raise BundleError(f"{path}: expected a {kind.__name__}, got a {type(value).__name__}")
    return value


def float_nbytes(model: Any) -> int:
    """Bytes of the float32 .safetensors file of a model, a weight with two names once, as in a bundle."""
    once = {id(x.array): (name, x) for name, x in reversed(model.state_dict().items())}
    file = io.BytesIO()
    tt.save(dict(reversed(once.values())), file)
    return len(file.getvalue())

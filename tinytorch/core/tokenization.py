r"""10 Tokenization: text into whole numbers that a network can look up, and back again.

A tokenizer has a vocabulary: pieces of text, each with a number, its id. `CharTokenizer` has a piece for each
character. `BPETokenizer` starts from the 256 bytes, so that it can write any text, and learns longer pieces:

    train   count neighbours, give the most frequent pair an id of its own, replace it everywhere, repeat
    encode  of all neighbours that are a token together, join those that were learned first; repeat

Byte-pair encoding is Philip Gage's compression (1994); Sennrich et al. 2016 brought it to translation,
https://arxiv.org/abs/1508.07909, and GPT-2 took it down to bytes (Radford et al. 2019,
https://cdn.openai.com/better-language-models/language_models_are_unsupervised_multitask_learners.pdf).
Names follow tiktoken: https://github.com/openai/tiktoken
"""

import json
import os
import re
import sys
import unicodedata
from collections import Counter, defaultdict
from functools import cache
from heapq import heapify, heappop, heappush
from itertools import pairwise

import numpy as np

from ..utils.safetensors import _write_atomically
from .tensor import int64, to_array, wrap


class Tokenizer:
    """Text to ids and back. A subclass defines `encode_ordinary(text)`, `to_dict()` and `from_dict(state)`.

    tokens: a dict from ids to bytes, the UTF-8 of what they stand for; len(tokenizer) is the number of rows
    that an embedding needs, one more than the largest id.
    special_tokens: a dict from strings to ids. These stand for what is not text: an end, padding, a role.
    Ordinary text never becomes one of them unless `encode` is told so.
    pad_id: the id of the special token "<pad>", or None if there is none.
    """

    def __init__(self, tokens, special_tokens):
        self.tokens, self.special_tokens = dict(tokens), dict(special_tokens)
        for name, id in self.special_tokens.items():
            if not isinstance(name, str) or not name:
                raise ValueError(f"a special token is a string with something in it, {name!r} came")
            if not is_id(id) or id in self.tokens:
                raise ValueError(f"special token {name!r}: {id!r} is another token's id, or none at all")
            self.tokens[id] = utf8(name)

    def __len__(self):
        return max(self.tokens, default=-1) + 1

    def __repr__(self):
        special = "".join(f", {name!r}: {id}" for name, id in self.special_tokens.items())
        return f"{type(self).__name__}({len(self)} tokens{special})"

    @property
    def pad_id(self):
        return self.special_tokens.get("<pad>")

    def encode_ordinary(self, text):
        """The ids of a text in which nothing is special: a list of ints."""
        raise NotImplementedError(f"{type(self).__name__} has to define encode_ordinary(text)")

    def encode(self, text, allowed_special=(), disallowed_special=()):
        """The ids of a text: a list of ints.

        allowed_special: the special tokens, by name, that become their id where they stand in the text; "all"
        for every one. Those that are not allowed are text like any other, so what a user types cannot end
        the prompt. disallowed_special: those that raise ValueError instead; "all" for all but the allowed.
        """
        if not isinstance(text, str):
            raise TypeError(f"encode: a str is needed, {type(text).__name__} came")
        allowed = self.chosen(allowed_special)
        for name in self.chosen(disallowed_special):
            if name not in allowed and name in text:
                raise ValueError(
                    f"encode: the special token {name!r} stands in the text; name it in allowed_special, "
                    "or leave disallowed_special out to read it as ordinary text"
                )
        ids = []
        for part in parted(text, allowed):
            ids.extend([self.special_tokens[part]] if part in allowed else self.encode_ordinary(part))
        return ids

    def decode(self, ids, errors="replace"):
        """The text of ids: a list, an array or a Tensor of one dimension.

        errors: what to do where the bytes are not UTF-8, as in bytes.decode. A token may hold a part of a
        character, so the ids of a text that was cut off can end in the middle of one: "replace" shows �.
        """
        array = to_array(ids)
        numbers = array.tolist() if hasattr(array, "tolist") else list(array)
        try:
            return b"".join([self.tokens[id] for id in numbers]).decode("utf-8", errors)
        except (KeyError, TypeError):
            wrong = next(id for id in numbers if not is_id(id) or id not in self.tokens)
            raise ValueError(
                f"decode: there is no token {wrong!r}; ids go from 0 to {len(self) - 1}"
            ) from None

    def encode_batch(self, texts, max_length=None, allowed_special=()):
        """The ids of N texts as one Tensor of int64, (N, T): T is the longest, or `max_length` if that is less.

        Shorter texts are filled up on the right with `pad_id`.
        """
        if isinstance(texts, str):
            raise TypeError("encode_batch: a list of texts is needed, one str came; use encode")
        rows = [self.encode(text, allowed_special)[:max_length] for text in texts]
        lengths = [len(row) for row in rows]
        longest = max(lengths, default=0)
        if self.pad_id is None and min(lengths, default=0) < longest:
            raise ValueError('encode_batch: texts of different lengths need the special token "<pad>"')
        batch = np.full((len(rows), longest), self.pad_id or 0, int64)
        for filled, row in zip(batch, rows, strict=True):
            filled[: len(row)] = row
        return wrap(batch)

    def decode_batch(self, ids):
        """The texts of ids (N, T), without their padding: a list of N strings."""
        return [self.decode([id for id in row if id != self.pad_id]) for row in to_array(ids).tolist()]

    def chosen(self, names):
        """The special tokens that `allowed_special` or `disallowed_special` names, as a set."""
        if isinstance(names, str):
            if names != "all":
                raise ValueError(f'special tokens are a set of names or "all", the string {names!r} came')
            return set(self.special_tokens)
        if unknown := set(names) - set(self.special_tokens):
            known = ", ".join(map(repr, self.special_tokens)) or "none"
            raise ValueError(f"there is no special token {min(unknown)!r}; there are: {known}")
        return set(names)

    # Files

    def save(self, path):
        """Write the tokenizer to a JSON file, whole or not at all."""
        state = {"tokenizer": type(self).__name__, **self.to_dict(), "special_tokens": self.special_tokens}
        _write_atomically(os.fspath(path), [json.dumps(state, indent=1).encode()])

    @classmethod
    def load(cls, path):
        """The tokenizer that `save` wrote, of the class it had. A malformed file raises ValueError."""
        with open(path, "rb") as file:
            data = file.read()
        try:
            state = json.loads(data)
            kinds = {kind.__name__: kind for kind in Tokenizer.__subclasses__()}
            kind = kinds.get(state["tokenizer"])
            if kind is None or not issubclass(kind, cls):
                raise ValueError(f"it holds a {state['tokenizer']}, not a {cls.__name__}")
            return kind.from_dict(state)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ValueError(f"load: {os.fspath(path)} is not a tokenizer's file: {what}") from None


def is_id(value):
    """Is this a whole number from 0 up?"""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def numbered(special_tokens, first):
    """Special tokens as a dict from names to ids: a sequence of names is numbered from `first`."""
    if isinstance(special_tokens, str):
        raise TypeError(f"special tokens are a list of names, the string {special_tokens!r} came")
    if isinstance(special_tokens, dict):
        return special_tokens
    if len(set(special_tokens)) < len(special_tokens):
        raise ValueError(f"a special token stands twice in {list(special_tokens)}")
    return {name: first + i for i, name in enumerate(special_tokens)}


def parted(text, names):
    """The text cut at these special tokens, which stay in the list; of two that fit, the longer one."""
    if not names:
        return [text]
    longest_first = sorted(names, key=len, reverse=True)
    return re.split(f"({'|'.join(map(re.escape, longest_first))})", text)


def utf8(text):
    """The bytes of a text; half a surrogate pair is no character, and has none."""
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        raise ValueError(
            f"character {error.start} is U+{code:04X}, a lone surrogate; UTF-8 has none"
        ) from None


class CharTokenizer(Tokenizer):
    """A token for each character.

    characters: a string, each character once; their ids count from 0.
    special_tokens: names, numbered after the characters, or a dict from names to ids. With "<unk>" among them
    unknown characters get its id; without, they are an error.
    """

    def __init__(self, characters, special_tokens=()):
        self.ids = {character: id for id, character in enumerate(characters)}
        if len(self.ids) < len(characters):
            twice = next(c for c in characters if characters.count(c) > 1)
            raise ValueError(f"CharTokenizer: the character {twice!r} came twice")
        tokens = {id: utf8(character) for character, id in self.ids.items()}
        super().__init__(tokens, numbered(special_tokens, len(tokens)))

    @classmethod
    def train(cls, text, special_tokens=()):
        """A tokenizer of the characters of `text`, in the order of their code points."""
        return cls("".join(sorted(set(text))), special_tokens)

    def encode_ordinary(self, text):
        unknown = self.special_tokens.get("<unk>")
        ids = [self.ids.get(character, unknown) for character in text]
        if unknown is None and None in ids:
            raise ValueError(
                f"encode: the character {text[ids.index(None)]!r} is not among the {len(self.ids)} known ones; "
                'the special token "<unk>" would stand for it'
            )
        return ids

    def to_dict(self):
        return {"characters": "".join(self.ids)}

    @classmethod
    def from_dict(cls, state):
        return cls(state["characters"], dict(state["special_tokens"]))

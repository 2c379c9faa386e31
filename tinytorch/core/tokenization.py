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

from ..utils.safetensors import checked_depth, write_atomically
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
        ids: list[int] = []
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
        """The ids of N texts, cut to `max_length` and filled up on the right with `pad_id`: int64 (N, T)."""
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

    def to_dict(self):
        """What a file says of this class's vocabulary, without the special tokens."""
        raise NotImplementedError(f"{type(self).__name__} has to define to_dict()")

    @classmethod
    def from_dict(cls, state):
        """The tokenizer of a file's contents: what `to_dict` gave, and `special_tokens`."""
        raise NotImplementedError(f"{cls.__name__} has to define from_dict(state)")

    def save(self, path):
        """Write the tokenizer to a JSON file, whole or not at all."""
        state = {"tokenizer": type(self).__name__, **self.to_dict(), "special_tokens": self.special_tokens}
        write_atomically(os.fspath(path), [json.dumps(state, indent=1).encode()])

    @classmethod
    def load(cls, path):
        """The tokenizer that `save` wrote, of the class it had. A malformed file raises ValueError."""
        with open(path, "rb") as file:
            data = file.read()
        try:
            state = json.loads(checked_depth(data.decode()))
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
                f"encode: {text[ids.index(None)]!r} is not among the {len(self.ids)} known characters; "
                'the special token "<unk>" would stand for it'
            )
        return ids

    def to_dict(self):
        return {"characters": "".join(self.ids)}

    @classmethod
    def from_dict(cls, state):
        return cls(state["characters"], dict(state["special_tokens"]))


# Cutting text into chunks: no token reaches over the border of two


# Radford et al. 2019: contractions, words and numbers with the space before them, other signs, white space.
GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

WHITE_SPACE = (  # Unicode's property White_Space; Python's own \s has U+001C to U+001F more
    (0x9, 0xD), (0x20, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A),
    (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000),
)  # fmt: skip


@cache
def compile_pattern(pattern):
    r"""A regular expression of Python's re that also knows \p{L} (or another category of Unicode) and \P{L}.

    re has no such classes, so each is written out as ranges of characters; \s and \S likewise, as Unicode
    defines them.
    """
    inside = False

    def expand(match):
        nonlocal inside
        kind, category, white = match.groups()
        if match[0] in ("[", "]"):
            literal = inside and match[0] == "["
            inside = match[0] == "["
            return r"\[" if literal else match[0]
        if not (category or white):
            return match[0]
        ranges = WHITE_SPACE if white else category_ranges(category)
        if kind == "P" or white == "S":
            ranges = complement(ranges)
        members = "".join(rf"\U{first:08x}-\U{last:08x}" for first, last in ranges)
        return members if inside else f"[{members}]"

    try:
        return re.compile(re.sub(r"\\(?:([pP])\{(\w+)\}|([sS])|.)|[\[\]]", expand, pattern, flags=re.DOTALL))
    except re.error as error:
        raise ValueError(f"the pattern {pattern!r} is not a regular expression: {error}") from None


@cache
def category_runs():
    """All code points in runs of one general category: a list of (category, first, last)."""
    codes = np.array(list(map(unicodedata.category, map(chr, range(sys.maxunicode + 1)))))
    edges = [0, *(np.flatnonzero(codes[1:] != codes[:-1]) + 1).tolist(), len(codes)]
    return [(str(codes[first]), first, after - 1) for first, after in pairwise(edges)]


def category_ranges(category):
    """The code points of a category such as "Lu", or of all that begin with "L", as (first, last) pairs."""
    ranges = [(first, last) for name, first, last in category_runs() if name.startswith(category)]
    if not ranges:
        raise ValueError(rf"\p{{{category}}}: Unicode has no general category {category!r}")
    return ranges


def complement(ranges):
    """The code points that are in none of the ranges, which go upwards."""
    firsts = [0, *(last + 1 for _, last in ranges)]
    lasts = [*(first - 1 for first, _ in ranges), sys.maxunicode]
    return [(first, last) for first, last in zip(firsts, lasts, strict=True) if first <= last]


# Byte-pair encoding


class BPETokenizer(Tokenizer):
    r"""Byte-pair encoding over UTF-8: any text has ids, and decoding gives exactly that text back.

    ranks: a dict from bytes to ids, each of the 256 bytes in it; of two tokens that could be made, the one of
    the lower id is. tiktoken calls it mergeable_ranks.
    special_tokens: names, numbered after all others, or a dict from names to ids.
    pattern: a regular expression that cuts the text into chunks, with \p{L} and the like; what lies between
    two matches is a chunk, too. None: all text is one chunk, and training goes through it once a merge.
    """

    cache_size = 65536  # chunks

    def __init__(self, ranks, special_tokens=(), pattern=GPT2_PATTERN):
        self.ranks, self.pattern = dict(ranks), pattern
        if missing := [byte for byte in range(256) if bytes([byte]) not in self.ranks]:
            raise ValueError(f"BPETokenizer: each single byte needs an id; byte {missing[0]} has none")
        for token, id in self.ranks.items():
            if not isinstance(token, bytes) or not token or not is_id(id):
                raise ValueError(f"BPETokenizer: ranks go from bytes to ids, {token!r}: {id!r} came")
        tokens = {id: token for token, id in self.ranks.items()}
        if len(tokens) < len(self.ranks):
            twice, count = Counter(self.ranks.values()).most_common(1)[0]
            raise ValueError(f"BPETokenizer: the id {twice} stands for {count} tokens")
        super().__init__(tokens, numbered(special_tokens, max(tokens) + 1))
        self.expression = None if pattern is None else compile_pattern(pattern)
        self.known = {}

    @classmethod
    def from_merges(cls, merges, special_tokens=(), pattern=GPT2_PATTERN):
        """A tokenizer from pairs of bytes in the order in which they were learned: [(b"t", b"h"), …].

        Ids 0 to 255 are the bytes; the pairs' follow. A pair that makes a token again makes no new one.
        """
        ranks = {bytes([byte]): byte for byte in range(256)}
        for left, right in merges:
            if left not in ranks or right not in ranks:
                unknown = left if left not in ranks else right
                raise ValueError(
                    f"from_merges: {(left, right)} joins {unknown!r}, which is no token before it"
                )
            ranks.setdefault(left + right, len(ranks))
        return cls(ranks, special_tokens, pattern)

    @classmethod
    def train(cls, text, vocab_size, special_tokens=(), pattern=GPT2_PATTERN):
        """Learn a vocabulary of `vocab_size` tokens from a text: the bytes, merges, then the special tokens.

        Of pairs that are equally frequent, the one whose ids are smaller is joined: (a, b) before (c, d) if
        a < c, or a == c and b < d. It ends early when no pair is left that stands twice; then len() is less.
        """
        room = vocab_size - 256 - len(special_tokens)
        if room < 0:
            raise ValueError(
                f"BPETokenizer.train: vocab_size has to hold the 256 bytes and {len(special_tokens)} special "
                f"tokens, {vocab_size} came"
            )
        # The first tokenizer, of bytes alone, cuts the text into chunks. Equal chunks are merged once.
        plain = [part for part in parted(text, special_tokens) if part not in special_tokens]
        chunks = Counter(chunk for part in plain for chunk in cls.from_merges([], (), pattern).chunks(part))
        return cls.from_merges(learn_merges(chunks, room), special_tokens, pattern)

    def chunks(self, text):
        """The text cut by the pattern: strings that together are the text."""
        if self.expression is None:
            return [text] if text else []
        found, position = [], 0
        for match in self.expression.finditer(text):
            start, stop = match.span()
            found += [text[position:start], text[start:stop]]
            position = stop
        return [chunk for chunk in [*found, text[position:]] if chunk]

    def encode_ordinary(self, text):
        known, ids = self.known, []
        for chunk in self.chunks(text):
            tokens = known.get(chunk)
            if tokens is None:
                tokens = self.encode_chunk(utf8(chunk))
                if len(known) >= self.cache_size:
                    known.clear()
                if len(chunk) <= 64:
                    known[chunk] = tokens
            ids += tokens
        return ids

    def encode_chunk(self, chunk):
        """A chunk's ids: its own if it is a token; else pairs are joined by rank, the leftmost of several."""
        ranks, n = self.ranks, len(chunk)
        if chunk in ranks:
            return [ranks[chunk]]
        # A part is known by where it starts: end[i] is where it ends (0: it is joined to the one before), and
        # before[i] where the part to its left starts. The heap holds what could be joined, lowest rank first.
        end, before = list(range(1, n + 1)), list(range(-1, n))
        heap = [(ranks[chunk[i : i + 2]], i, i + 1, i + 2) for i in range(n - 1) if chunk[i : i + 2] in ranks]
        heapify(heap)
        while heap:
            _, start, middle, stop = heappop(heap)
            if end[start] != middle or end[middle] != stop:
                continue  # one of the two is a part of something else by now
            end[start], end[middle], before[stop] = stop, 0, start
            for left, right in ((before[start], start), (start, stop)):
                if left >= 0 and right < n and chunk[left : end[right]] in ranks:
                    heappush(heap, (ranks[chunk[left : end[right]]], left, right, end[right]))
        ids, start = [], 0
        while start < n:
            ids.append(ranks[chunk[start : end[start]]])
            start = end[start]
        return ids

    def to_dict(self):
        # JSON has no bytes: latin-1 gives every byte the character of the same number.
        return {"pattern": self.pattern, "ranks": {t.decode("latin-1"): id for t, id in self.ranks.items()}}

    @classmethod
    def from_dict(cls, state):
        ranks = {token.encode("latin-1"): id for token, id in state["ranks"].items()}
        return cls(ranks, dict(state["special_tokens"]), state["pattern"])


def merge(ids, pair, new):
    """The ids with `new` in place of each `pair`, from the left: merge([1, 1, 1], (1, 1), 9) is [9, 1]."""
    merged, i = [], 0
    while i < len(ids):
        joins = i + 1 < len(ids) and ids[i] == pair[0] and ids[i + 1] == pair[1]
        merged.append(new if joins else ids[i])
        i += 2 if joins else 1
    return merged


def learn_merges(chunks, count):
    """Up to `count` merges, as pairs of bytes, from a dict of chunks (strings) and how often each occurs.

    Only chunks that hold the pair are touched, and only their pairs counted anew. The heap gives the most
    frequent pair; what it says of a pair may be out of date, and is then put right.
    """
    words, times = [list(utf8(chunk)) for chunk in chunks], list(chunks.values())
    counts: Counter = Counter()  # how often a pair occurs
    places = defaultdict(set)  # in which words
    for w, word in enumerate(words):
        for pair in pairwise(word):
            counts[pair] += times[w]
            places[pair].add(w)
    heap = [(-often, pair) for pair, often in counts.items()]
    heapify(heap)
    tokens, ids, merges = {i: bytes([i]) for i in range(256)}, {bytes([i]): i for i in range(256)}, []
    while heap and len(ids) < 256 + count:
        often, pair = heappop(heap)
        if -often != counts[pair]:
            if counts[pair] > 0:
                heappush(heap, (-counts[pair], pair))
            continue
        if -often < 2:
            break
        left, right = (tokens[id] for id in pair)
        new = ids.setdefault(left + right, len(ids))
        tokens[new] = left + right
        merges.append((left, right))
        changed = set()
        for w in places.pop(pair):
            for old in pairwise(words[w]):
                counts[old] -= times[w]
            words[w] = merge(words[w], pair, new)
            for now in pairwise(words[w]):
                counts[now] += times[w]
                places[now].add(w)
                if new in now:
                    changed.add(now)
        for now in changed:
            heappush(heap, (-counts[now], now))
    return merges

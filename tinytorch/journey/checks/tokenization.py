"""Exercises of module 10, Tokenization."""

from collections import Counter
from itertools import pairwise

import numpy as np

from tinytorch.core import tokenization
from tinytorch.core.tensor import tensor
from tinytorch.core.tokenization import BPETokenizer, CharTokenizer

from ..checking import Exercises, call, raises, see, swap, wrong

exercises = Exercises("tokenization")

BYTES = {bytes([i]): i for i in range(256)}


def bpe(*tokens, pattern=None):
    """A tokenizer of the bytes and these tokens, which are numbered from 256."""
    return BPETokenizer({**BYTES, **{token: 256 + i for i, token in enumerate(tokens)}}, (), pattern)


train_characters = exercises.add(
    "CharTokenizer.train",
    prompt=(
        "Return a tokenizer of this class whose vocabulary is every character of `text`, once each, in the "
        "order of their code points. The special tokens come after them."
    ),
    hints=(
        "Each character once: a set does that. But a set has no order.",
        "`sorted` puts characters in the order of their code points; `cls(characters, special_tokens)` takes "
        "them as one string.",
    ),
    mistakes=(
        swap(
            "sorted(set(text))",
            "dict.fromkeys(text)",
            "The characters are numbered as they appear in the text; they have to be in the order of their "
            "code points, so that the same characters always get the same ids.",
        ),
        swap(
            "set(text))), special_tokens)",
            "set(text))))",
            "The special tokens are not passed on: the tokenizer has none.",
        ),
        swap(
            '"".join(sorted(set(text)))',
            '"".join(sorted(set(text.lower())))',
            "Capital letters are lost: they are characters of their own.",
        ),
        swap(
            "sorted(set(text))",
            "sorted(text)",
            "A character that comes twice in the text is taken twice; it has to be in the vocabulary once.",
        ),
    ),
)


@train_characters.check("the three letters of 'banana' are numbered in order")
def _():
    ids = CharTokenizer.train("banana").ids
    see("CharTokenizer.train('banana').ids", ids).gives({"a": 0, "b": 1, "n": 2})


@train_characters.check("spaces, capitals and other scripts are characters as well")
def _():
    ids = CharTokenizer.train("Aa é\nA").ids
    see("CharTokenizer.train('Aa é\\nA').ids", ids).gives({"\n": 0, " ": 1, "A": 2, "a": 3, "é": 4})


@train_characters.check("special tokens are numbered after the characters")
def _():
    made = CharTokenizer.train("ba", ["<pad>", "<end>"])
    words = "CharTokenizer.train('ba', ['<pad>', '<end>'])"
    see(f"{words}.special_tokens", made.special_tokens).gives({"<pad>": 2, "<end>": 3})
    see(f"len({words})", len(made)).gives(4)


@train_characters.check("no text gives an empty vocabulary")
def _():
    see("len(CharTokenizer.train(''))", len(CharTokenizer.train(""))).gives(0)


encode_characters = exercises.add(
    "CharTokenizer.encode_ordinary",
    prompt=(
        "Return the ids of a text, one int for each character, as a list. `self.ids` goes from characters to "
        'ids. A character that is not in it gets the id of the special token "<unk>"; if the tokenizer has '
        "no such token, raise a ValueError that shows the character."
    ),
    hints=(
        "It is a look-up for each character of the text: a loop, or a list comprehension.",
        '`self.special_tokens.get("<unk>")` is the id for unknown characters, or None.',
        "`self.ids.get(character, unknown)` for each character; if a None is among the results, the "
        "character at that place is the one to name.",
    ),
    mistakes=(
        swap(
            "self.ids.get(character, unknown)",
            "self.ids[character]",
            'An unknown character is a KeyError: it becomes "<unk>" where there is one, and a ValueError '
            "where there is none.",
        ),
        wrong(
            """
            def encode_ordinary(self, text):
                unknown = self.special_tokens.get("<unk>")
                return [self.ids.get(character, unknown) for character in text]
            """,
            'Without "<unk>", an unknown character gets the id None; it has to be a ValueError.',
        ),
        wrong(
            """
            def encode_ordinary(self, text):
                return [self.ids[character] for character in text if character in self.ids]
            """,
            "Unknown characters are left out: the text that comes back would be another one.",
        ),
        wrong(
            """
            def encode_ordinary(self, text):
                unknown = self.special_tokens.get("<unk>")
                if not unknown and any(character not in self.ids for character in text):
                    raise ValueError(f"unknown characters in {text!r}")
                return [self.ids.get(character, unknown) for character in text]
            """,
            "An id of 0 counts as none: ask whether it `is None`, since 0 is false as well.",
        ),
        swap(
            "return ids",
            "return np.array(ids, int64)",
            "The ids are an array; a list of ints is asked for, which can be joined to another by +.",
        ),
    ),
)


@encode_characters.check("each character becomes its number")
def _():
    call(CharTokenizer("abn").encode_ordinary, "banana").gives([1, 0, 2, 0, 2, 0])
    call(CharTokenizer("zyx").encode_ordinary, "xyz").gives([2, 1, 0])
    kind = type(CharTokenizer("abn").encode_ordinary("ban")).__name__
    see("the type of CharTokenizer('abn').encode_ordinary('ban')", kind).gives("list")


@encode_characters.check("no text has no ids")
def _():
    call(CharTokenizer("ab").encode_ordinary, "").gives([])


@encode_characters.check("unknown characters become <unk>")
def _():
    call(CharTokenizer("ab", ["<pad>", "<unk>"]).encode_ordinary, "axbé").gives([0, 3, 1, 3])
    call(CharTokenizer("", ["<unk>"]).encode_ordinary, "hi").gives([0, 0])


@encode_characters.check("without <unk> an unknown character is an error that shows it")
def _():
    raises(ValueError, CharTokenizer("ab").encode_ordinary, "abéa", says="é")


encode = exercises.add(
    "Tokenizer.encode",
    prompt=(
        "Return the ids of a text as a list: `self.encode_ordinary` of what is ordinary text, and between "
        "these the ids of the special tokens that `allowed_special` names. All other special tokens are text "
        "like any other, but one of `disallowed_special` that stands in the text and is not allowed raises "
        "ValueError. What is not a str is a TypeError."
    ),
    hints=(
        "`self.chosen(names)` gives the set of special tokens that allowed_special or disallowed_special "
        'means, "all" included.',
        "`parted(text, allowed)` cuts the text at the allowed special tokens and keeps them in the list.",
        "For each part: [self.special_tokens[part]] if it is an allowed special token, else "
        "self.encode_ordinary(part). Add these lists up.",
    ),
    mistakes=(
        wrong(
            """
            def encode(self, text, allowed_special=(), disallowed_special=()):
                if not isinstance(text, str):
                    raise TypeError("text has to be a str")
                allowed = self.chosen(allowed_special)
                for name in self.chosen(disallowed_special):
                    if name not in allowed and name in text:
                        raise ValueError(f"{name!r} stands in the text")
                ids = []
                for part in parted(text, self.special_tokens):
                    special = part in self.special_tokens
                    ids += [self.special_tokens[part]] if special else self.encode_ordinary(part)
                return ids
            """,
            "A special token in the text gets its id although nobody allowed it: then whoever types "
            '"<end>" ends the prompt.',
        ),
        wrong(
            """
            def encode(self, text, allowed_special=(), disallowed_special=()):
                if not isinstance(text, str):
                    raise TypeError("text has to be a str")
                allowed = self.chosen(allowed_special)
                ids = []
                for part in parted(text, allowed):
                    ids += [self.special_tokens[part]] if part in allowed else self.encode_ordinary(part)
                return ids
            """,
            "`disallowed_special` has no effect: such a token in the text has to raise ValueError.",
        ),
        swap(
            "self.chosen(disallowed_special)",
            "self.special_tokens if disallowed_special else ()",
            "All special tokens are disallowed, whichever are named: only those of `disallowed_special` are.",
        ),
        swap(
            "name not in allowed and name in text",
            "name in text",
            "A token that is allowed raises an error because it is disallowed as well: allowed wins.",
        ),
        wrong(
            """
            def encode(self, text, allowed_special=(), disallowed_special=()):
                if not isinstance(text, str):
                    raise TypeError("text has to be a str")
                allowed = self.chosen(allowed_special)
                for name in self.chosen(disallowed_special):
                    if name not in allowed and name in text:
                        raise ValueError(f"{name!r} stands in the text")
                return self.encode_ordinary(text)
            """,
            "The whole text is encoded as ordinary text: allowed special tokens have to become their ids.",
        ),
    ),
)


def with_end(characters="<>dehin"):
    return CharTokenizer(characters, ["<end>"])  # its id is the number of characters


@encode.check("an allowed special token becomes its id")
def _():
    call(with_end("hi").encode, "hi<end>", allowed_special={"<end>"}).gives([0, 1, 2])
    call(with_end("hi").encode, "<end><end>hi<end>i", allowed_special="all").gives([2, 2, 0, 1, 2, 1])


@encode.check("one that is not allowed is ordinary text")
def _():
    call(with_end().encode, "hi<end>").gives([4, 5, 0, 3, 6, 2, 1])


@encode.check("a disallowed one is an error, if it is not allowed")
def _():
    raises(ValueError, with_end().encode, "hi<end>", disallowed_special="all")
    seen = call(with_end().encode, "hi<end>", allowed_special={"<end>"}, disallowed_special="all")
    seen.gives([4, 5, 7])
    call(with_end().encode, "hi<en>", disallowed_special="all").gives([4, 5, 0, 3, 6, 1])
    two = CharTokenizer("<>dehin", ["<end>", "<n>"])
    raises(ValueError, two.encode, "hi<end>", disallowed_special={"<end>"})
    call(two.encode, "<n>", disallowed_special={"<end>"}).gives([0, 6, 1])


@encode.check("no text has no ids, and bytes are not text")
def _():
    call(with_end().encode, "").gives([])
    raises(TypeError, with_end().encode, b"hi")


decode = exercises.add(
    "Tokenizer.decode",
    prompt=(
        "Return the text of some ids: a list, a tuple, an array or a Tensor of one dimension. `self.tokens` "
        "goes from ids to the UTF-8 bytes of each token, and a character's bytes may lie in several tokens. "
        "`errors` says what to do with bytes that are no UTF-8, as in bytes.decode. An id that is no token "
        "raises ValueError."
    ),
    hints=(
        "Put the bytes of all tokens together first; only the whole is text.",
        '`b"".join(…)` joins bytes, and `.decode("utf-8", errors)` makes a text of them.',
        "`to_array(ids).tolist()` turns a Tensor into plain ints. A KeyError means that an id is no token: "
        "raise a ValueError in its place.",
    ),
    mistakes=(
        swap(
            'b"".join([self.tokens[id] for id in numbers]).decode("utf-8", errors)',
            '"".join([self.tokens[id].decode("utf-8", errors) for id in numbers])',
            "Each token is decoded on its own: a character whose bytes lie in two tokens is lost. Join the "
            "bytes first.",
        ),
        swap(
            'decode("utf-8", errors)',
            'decode("utf-8", "replace")',
            "`errors` has no effect: pass it on to bytes.decode.",
        ),
        swap(
            "self.tokens[id] for id in numbers]",
            'self.tokens.get(id, b"") for id in numbers]',
            "An id that is no token is left out without a word; it has to raise ValueError.",
        ),
        wrong(
            """
            def decode(self, ids, errors="replace"):
                array = to_array(ids)
                numbers = array.tolist() if hasattr(array, "tolist") else list(array)
                if any(id >= len(self) for id in numbers):
                    raise ValueError(f"ids go from 0 to {len(self) - 1}")
                return b"".join([self.tokens.get(id, b"") for id in numbers]).decode("utf-8", errors)
            """,
            "Ids are only compared with len(self): one below 0, or a number that no token has, is no token "
            "either.",
        ),
        wrong(
            """
            def decode(self, ids, errors="replace"):
                array = to_array(ids)
                numbers = array.tolist() if hasattr(array, "tolist") else list(array)
                return b"".join([self.tokens[id] for id in numbers]).decode("utf-8", errors)
            """,
            "An id that is no token raises KeyError; make it a ValueError that says which id it is.",
        ),
        wrong(
            """
            def decode(self, ids, errors="replace"):
                for id in ids:
                    if id not in self.tokens:
                        raise ValueError(f"there is no token {id!r}")
                return b"".join([self.tokens[id] for id in ids]).decode("utf-8", errors)
            """,
            "The members of a Tensor are Tensors, and a dict does not know these: make ints of them first.",
        ),
    ),
)


@decode.check("ids become their tokens")
def _():
    call(CharTokenizer("abn", ["<end>"]).decode, [1, 0, 2, 3]).gives("ban<end>")
    call(CharTokenizer("abn").decode, []).gives("")


@decode.check("a character's bytes may lie in several tokens")
def _():
    call(bpe().decode, list("é語".encode())).gives("é語")


@decode.check("an array, a tuple and a Tensor are taken as well")
def _():
    for ids in (np.array([1, 0, 2]), (1, 0, 2), tensor([1, 0, 2])):
        call(CharTokenizer("abn").decode, ids).gives("ban")


@decode.check("half a character is shown as � or is an error, as `errors` says")
def _():
    call(bpe().decode, [0x61, 0xC3]).gives("a�")
    call(bpe().decode, [0x61, 0xC3], errors="ignore").gives("a")
    raises(UnicodeDecodeError, bpe().decode, [0x61, 0xC3], errors="strict")


@decode.check("an id that is no token is an error")
def _():
    raises(ValueError, CharTokenizer("abn").decode, [0, 7])
    raises(ValueError, CharTokenizer("abn").decode, [0, -1])
    raises(ValueError, CharTokenizer("abn", {"<end>": 9}).decode, [9, 5])


encode_batch = exercises.add(
    "Tokenizer.encode_batch",
    prompt=(
        "Encode N texts into one int64 Tensor (N, T). Each text is cut to its first `max_length` ids, T "
        "is the length of the longest row that is left, and shorter rows are filled up on the right with "
        "self.pad_id. Rows of different lengths without a pad_id raise ValueError; rows of one length do not "
        "need it. `allowed_special` goes to encode."
    ),
    hints=(
        "Encode and cut each text into a list first: then you know how wide the table has to be.",
        "Begin with a table full of padding, `np.full((N, T), value, int64)`, and write each row's ids into "
        "its beginning. `max(lengths, default=0)` also works for no texts at all.",
        "`wrap(array)` makes the Tensor. `self.encode(text, allowed_special)[:max_length]` is a row; with "
        "None the slice is whole.",
    ),
    mistakes=(
        swap(
            "filled[: len(row)] = row",
            "filled[longest - len(row) :] = row",
            "The padding is on the left; the ids have to be at the beginning of each row.",
        ),
        swap(
            "[:max_length]",
            "[-(max_length or 0) :]",
            "A long text keeps its end: of `max_length` ids the first ones have to stay.",
        ),
        swap(
            "np.full((len(rows), longest), self.pad_id or 0, int64)",
            "np.full((len(rows), longest), 0, int64)",
            "The rows are filled up with 0, which is a token of the vocabulary: fill them with self.pad_id.",
        ),
        swap(
            "self.pad_id or 0, int64)",
            "self.pad_id or 0, np.float64)",
            "The ids are floating-point numbers: a batch of ids is int64.",
        ),
        swap(
            "longest = max(lengths, default=0)",
            "longest = max(lengths, default=0) if max_length is None else max_length",
            "Every row is filled up to max_length: T is the length of the longest row.",
        ),
        swap(
            "[:max_length]",
            "[: max_length or None]",
            "A max_length of 0 counts as none; ask whether it `is None`.",
        ),
        swap(
            "self.encode(text, allowed_special)[:max_length]",
            "self.encode(text[:max_length], allowed_special)",
            "The text is cut to `max_length` characters; it is the ids that are cut.",
        ),
        swap(
            "if self.pad_id is None and",
            "if not self.pad_id and",
            "A pad_id of 0 counts as none: ask whether it `is None`, since 0 is false as well.",
        ),
        swap(
            "min(lengths, default=0) < longest:",
            "len({len(self.encode(text, allowed_special)) for text in texts}) > 1:",
            "The lengths are compared before the texts are cut; it is the rows that are left that count.",
        ),
        swap(
            "self.encode(text, allowed_special)",
            "self.encode(text)",
            "`allowed_special` is not passed on to encode: the special tokens become ordinary text.",
        ),
        swap(
            "if self.pad_id is None and min(lengths, default=0) < longest:",
            "if False:",
            'Without "<pad>" rows of different lengths are filled up with an ordinary token; that is a '
            "ValueError.",
        ),
    ),
)


@encode_batch.check("the shorter texts are filled up on the right")
def _():
    seen = call(CharTokenizer("abc", ["<pad>"]).encode_batch, ["ab", "cab", ""])
    seen.gives(tensor(np.array([[0, 1, 3], [2, 0, 1], [3, 3, 3]], np.int64)))


@encode_batch.check("long texts are cut, and no row is wider than the longest")
def _():
    padded = CharTokenizer("abc", ["<pad>"]).encode_batch
    call(padded, ["abcab", "c"], max_length=3).gives(tensor(np.array([[0, 1, 2], [2, 3, 3]], np.int64)))
    call(padded, ["ab", "c"], max_length=4).gives(tensor(np.array([[0, 1], [2, 3]], np.int64)))
    call(padded, ["ab", "c"], max_length=0).gives(tensor(np.zeros((2, 0), np.int64)))


@encode_batch.check("without <pad> all texts need one length")
def _():
    call(CharTokenizer("ab").encode_batch, ["ab", "ba"]).gives(tensor(np.array([[0, 1], [1, 0]], np.int64)))
    raises(ValueError, CharTokenizer("ab").encode_batch, ["ab", "a"])
    seen = call(CharTokenizer("ab").encode_batch, ["aba", "ba"], max_length=2)
    seen.gives(tensor(np.array([[0, 1], [1, 0]], np.int64)))


@encode_batch.check("the id of <pad> may be 0")
def _():
    seen = call(CharTokenizer("", ["<pad>", "<unk>"]).encode_batch, ["hi", "a"])
    seen.gives(tensor(np.array([[1, 1], [1, 0]], np.int64)))


@encode_batch.check("allowed special tokens become their ids")
def _():
    seen = call(CharTokenizer("ab", ["<pad>", "<end>"]).encode_batch, ["ab<end>", "a<end>"], None, {"<end>"})
    seen.gives(tensor(np.array([[0, 1, 3], [0, 3, 2]], np.int64)))


@encode_batch.check("it is ids that are cut, not characters")
def _():
    seen = call(CharTokenizer("ab", ["<end>"]).encode_batch, ["<end>ab", "a<end>"], 2, "all")
    seen.gives(tensor(np.array([[2, 0], [0, 2]], np.int64)))


@encode_batch.check("no texts give a batch of shape (0, 0)")
def _():
    call(CharTokenizer("ab", ["<pad>"]).encode_batch, []).gives(tensor(np.zeros((0, 0), np.int64)))


merge = exercises.add(
    "merge",
    prompt=(
        "Return a new list: the ids, with `new` in the place of each `pair` of neighbours, found from the "
        "left. An id belongs to one pair at most, so [1, 1, 1] has one pair (1, 1) and a 1 left over. The "
        "list that came in stays as it is."
    ),
    hints=(
        "Walk through the list with an index: either a pair begins here, or it does not.",
        "After a pair go on two places further, else one. At the last id no pair can begin.",
    ),
    mistakes=(
        swap(
            "i += 2 if joins else 1",
            "i += 1",
            "The second id of a pair is looked at again, so it stays in the list: after a pair go on two "
            "places further.",
        ),
        swap(
            "i + 1 < len(ids) and ",
            "",
            "The last id has no neighbour: look whether there is one before you compare.",
        ),
        wrong(
            """
            def merge(ids, pair, new):
                merged, i = [], 0
                while i < len(ids) - 1:
                    joins = (ids[i], ids[i + 1]) == pair
                    merged.append(new if joins else ids[i])
                    i += 2 if joins else 1
                return merged
            """,
            "The last id is lost when it is not in a pair.",
        ),
        wrong(
            """
            def merge(ids, pair, new):
                ids = list(ids)
                for i in range(len(ids) - 1):
                    if (ids[i], ids[i + 1]) == pair:
                        return [*ids[:i], new, *ids[i + 2 :]]
                return ids
            """,
            "Only the first pair is replaced; the others have to be as well.",
        ),
        wrong(
            """
            def merge(ids, pair, new):
                i = 0
                while i < len(ids) - 1:
                    if (ids[i], ids[i + 1]) == pair:
                        ids[i : i + 2] = [new]
                    i += 1
                return ids
            """,
            "The list that came in is changed; make a new one.",
        ),
        swap(
            "ids[i] == pair[0] and ids[i + 1] == pair[1]",
            "{ids[i], ids[i + 1]} == set(pair)",
            "A pair is found the other way round, too: (1, 2) is not (2, 1).",
        ),
    ),
)


@merge.check("each pair becomes one id")
def _():
    call(tokenization.merge, [1, 2, 3, 1, 2], (1, 2), 9).gives([9, 3, 9])
    call(tokenization.merge, [1, 2, 1, 2, 1], (1, 2), 9).gives([9, 9, 1])


@merge.check("the order within a pair counts")
def _():
    call(tokenization.merge, [2, 1, 2, 2], (1, 2), 9).gives([2, 9, 2])


@merge.check("pairs do not overlap, and the left one is taken")
def _():
    call(tokenization.merge, [1, 1, 1], (1, 1), 9).gives([9, 1])
    call(tokenization.merge, [1, 1, 1, 1], (1, 1), 9).gives([9, 9])


@merge.check("without a pair nothing changes")
def _():
    call(tokenization.merge, [], (1, 2), 9).gives([])
    call(tokenization.merge, [1], (1, 2), 9).gives([1])
    call(tokenization.merge, [3, 1], (1, 2), 9).gives([3, 1])


@merge.check("the list that came in stays as it is")
def _():
    ids = [1, 2, 3]
    tokenization.merge(ids, (1, 2), 9)
    see("ids after merge(ids, (1, 2), 9)", ids).gives([1, 2, 3])


TEXTBOOK = """
    def learn_merges(chunks, count):
        words = [(list(chunk.encode()), often) for chunk, often in chunks.items()]
        tokens, merges = {i: bytes([i]) for i in range(256)}, []
        while len(merges) < count:
            counts = Counter()
            for word, often in words:
                for pair in pairwise(word):
                    counts[pair] += often
            if not counts or max(counts.values()) < 2:
                break
            pair = min(counts, key=lambda pair: (-counts[pair], pair))
            left, right = tokens[pair[0]], tokens[pair[1]]
            new = 256 + len(merges)
            tokens[new] = left + right
            merges.append((left, right))
            words = [(merge(word, pair, new), often) for word, often in words]
        return merges
    """


def textbook(old, new, diagnosis):
    """The simplest training with a change."""
    if old not in TEXTBOOK:
        raise ValueError(f"{old!r} is not there")
    return wrong(TEXTBOOK.replace(old, new), diagnosis)


learn_merges = exercises.add(
    "learn_merges",
    prompt=(
        "Byte-pair training. `chunks` is a dict from strings to how often each occurs; pairs are counted "
        "within the UTF-8 bytes of a chunk. Take the most frequent pair, give it the next id (256, 257, …), "
        "replace it in every chunk, and begin again, until there are `count` merges or no pair stands twice. "
        "Of equally frequent pairs the one with the smaller ids is taken. Return the merges in order, each "
        "as its two tokens' bytes."
    ),
    hints=(
        "The chapter's textbook_training has all of it but the chunks: a chunk that occurs three times "
        "counts its pairs three times, and no pair reaches over a chunk's border.",
        "Count all pairs anew for each merge: `Counter`, `pairwise` and `merge` are all you need. The heap "
        "only makes it faster.",
        "`min(counts, key=lambda pair: (-counts[pair], pair))` is the most frequent pair, of several the one "
        "with the smaller ids. Keep a dict from ids to bytes for the answer.",
    ),
    mistakes=(
        textbook(
            "+= often",
            "+= 1",
            "Each chunk is counted once; a chunk that occurs three times has to count its pairs three times.",
        ),
        textbook(
            "min(counts, key=lambda pair: (-counts[pair], pair))",
            "max(counts, key=counts.get)",
            "Of equally frequent pairs the one that was met first is taken; it has to be the one with the "
            "smaller ids.",
        ),
        textbook(
            "min(counts, key=lambda pair: (-counts[pair], pair))",
            "max(counts, key=lambda pair: (counts[pair], pair))",
            "Of equally frequent pairs the one with the larger ids is taken; it has to be the one with the "
            "smaller ids.",
        ),
        textbook(
            "merges.append((left, right))",
            "merges.append(pair)",
            "The merges are pairs of ids; each has to be the bytes of its two tokens.",
        ),
        textbook(
            "words = [(list(chunk.encode()), often) for chunk, often in chunks.items()]",
            'words = [(list("".join(chunk * often for chunk, often in chunks.items()).encode()), 1)]',
            "The chunks are put together to one text, and a pair may reach from one into the next; count "
            "within each.",
        ),
        textbook(
            "(-counts[pair], pair)",
            "(-counts[pair], tokens[pair[0]], tokens[pair[1]])",
            "Equally frequent pairs are compared by their bytes: it is their ids that count, and a token "
            "that was learned has a larger id than every byte.",
        ),
        textbook(
            "< 2:",
            "< 1:",
            "A pair that stands only once is joined as well: training ends when no pair stands twice.",
        ),
        wrong(
            """
            def learn_merges(chunks, count):
                counts = Counter()
                for chunk, often in chunks.items():
                    for left, right in pairwise(chunk.encode()):
                        counts[bytes([left]), bytes([right])] += often
                best = sorted(counts, key=lambda pair: (-counts[pair], pair))
                return [pair for pair in best if counts[pair] > 1][:count]
            """,
            "The pairs are counted once only: after each merge they have to be counted again, with the new "
            "token in its place.",
        ),
        textbook(
            "list(chunk.encode())",
            "list(map(ord, chunk))",
            "The pairs are of characters; they have to be of bytes, the UTF-8 of each chunk.",
        ),
    ),
)


@learn_merges.check("three merges of the words hug, pug and hub")
def _():
    merges = [(b"u", b"g"), (b"h", b"ug"), (b"p", b"ug")]
    call(tokenization.learn_merges, {"hug": 3, "pug": 2, "hub": 1}, 2).gives(merges[:2])
    call(tokenization.learn_merges, {"hug": 3, "pug": 2, "hub": 1}, 9).gives(merges)


@learn_merges.check("of equally frequent pairs the smaller ids are joined first")
def _():
    merges = [(b"a", b"b"), (b"a", b"c"), (b"d", b"c")]
    call(tokenization.learn_merges, {"dc": 2, "ab": 2, "ac": 2}, 3).gives(merges)
    merges = [(b"a", b"a"), (b"a", b"b"), (b"aa", b"ab")]
    call(tokenization.learn_merges, {"aaabdaaabac": 1}, 3).gives(merges)


@learn_merges.check("a learned token has a larger id than every byte")
def _():
    merges = [(b"a", b"a"), (b"c", b"d"), (b"aa", b"b")]
    call(tokenization.learn_merges, {"aab": 2, "aa": 1, "cd": 2}, 3).gives(merges)


@learn_merges.check("a pair that stands once is not joined")
def _():
    call(tokenization.learn_merges, {"abab": 1, "xyz": 1}, 10).gives([(b"a", b"b")])
    call(tokenization.learn_merges, {"abc": 1}, 10).gives([])
    call(tokenization.learn_merges, {}, 10).gives([])
    call(tokenization.learn_merges, {"aa": 5}, 0).gives([])


@learn_merges.check("pairs are of bytes, within a chunk")
def _():
    call(tokenization.learn_merges, {"é": 2, "x": 2}, 9).gives([(b"\xc3", b"\xa9")])
    call(tokenization.learn_merges, {"ab": 2, "c": 4}, 9).gives([(b"a", b"b")])


@learn_merges.check("five merges of a sentence's words")
def _():
    text = "the other three brothers bathe rather there than gather them together"
    words = Counter(text.split(" "))
    call(tokenization.learn_merges, dict(words), 5).gives(counted_anew(words, 5))


def counted_anew(chunks, count):
    """The merges by another road: tokens as bytes, with an order of their own."""
    words = {chunk: [bytes([byte]) for byte in chunk.encode()] for chunk in chunks}
    order = {bytes([byte]): byte for byte in range(256)}
    merges = []
    for _ in range(count):
        counts = Counter(p for chunk, often in chunks.items() for p in [*pairwise(words[chunk])] * often)
        pair = min(counts, key=lambda pair: (-counts[pair], order[pair[0]], order[pair[1]]))
        order[pair[0] + pair[1]] = len(order)
        merges.append(pair)
        for word in words.values():
            for i in range(len(word) - 1):
                if tuple(word[i : i + 2]) == pair:
                    word[i : i + 2] = [word[i] + word[i + 1]]
    return merges


from_merges = exercises.add(
    "BPETokenizer.from_merges",
    prompt=(
        "Make a tokenizer from merges, pairs of bytes in the order in which they were learned. Its ranks go "
        "from bytes to ids: 0 to 255 are the single bytes, and each pair's token gets the next free id. A "
        "token that is there already keeps its id, and no id is used up. A part that is no token yet raises "
        "ValueError. special_tokens and pattern go to the class."
    ),
    hints=(
        "Begin with a dict of the 256 bytes: `bytes([n])` is the byte n.",
        "The next free id is the number of tokens so far: len(ranks).",
        "`ranks.setdefault(left + right, len(ranks))` adds a token only if it is new; check left and right "
        "before. At the end cls(ranks, special_tokens, pattern).",
    ),
    mistakes=(
        swap(
            "ranks.setdefault(left + right, len(ranks))",
            "ranks[left + right] = len(ranks)",
            "A token that two pairs make gets another id the second time: it has to keep its first one.",
        ),
        swap(
            "ranks.setdefault(left + right, len(ranks))",
            "ranks.setdefault(left + right, 256 + merges.index((left, right)))",
            "A pair that makes no new token uses up an id: the next free id is the number of tokens so far.",
        ),
        swap(
            "if left not in ranks or right not in ranks:",
            "if False:",
            "A pair may join what is no token: no text could ever be encoded into it. Raise ValueError.",
        ),
        swap(
            "cls(ranks, special_tokens, pattern)",
            "cls(ranks, (), pattern)",
            "The special tokens are not passed on.",
        ),
        swap(
            "cls(ranks, special_tokens, pattern)",
            "cls(ranks, special_tokens, None)",
            "The pattern is not passed on: the text would be one chunk.",
        ),
    ),
)


def learned(tokenizer):
    return {token: id for token, id in tokenizer.ranks.items() if id > 255 or len(token) > 1}


@from_merges.check("the bytes come first, then the pairs in their order")
def _():
    made = BPETokenizer.from_merges([(b"t", b"h"), (b"th", b"e")], pattern=None)
    words = "the longer tokens of BPETokenizer.from_merges([(b't', b'h'), (b'th', b'e')])"
    see(words, learned(made)).gives({b"th": 256, b"the": 257})
    see("the id of b'\\xff'", made.ranks.get(b"\xff")).gives(255)


@from_merges.check("no merges leave the 256 bytes")
def _():
    ranks = BPETokenizer.from_merges([], pattern=None).ranks
    see("BPETokenizer.from_merges([]).ranks == {each byte: its number}", ranks == BYTES).gives(True)


@from_merges.check("a token that is made twice keeps its id")
def _():
    merges = [(b"a", b"a"), (b"a", b"aa"), (b"aa", b"a"), (b"b", b"c")]
    made = BPETokenizer.from_merges(merges, pattern=None)
    words = f"the longer tokens of BPETokenizer.from_merges({merges})"
    see(words, learned(made)).gives({b"aa": 256, b"aaa": 257, b"bc": 258})


@from_merges.check("a pair of what is no token is an error")
def _():
    raises(ValueError, BPETokenizer.from_merges, [(b"th", b"e")], pattern=None)
    raises(ValueError, BPETokenizer.from_merges, [(b"a", b"b"), (b"c", b"abc")], pattern=None)


@from_merges.check("special tokens and the pattern are passed on")
def _():
    made = BPETokenizer.from_merges([(b"a", b"b")], ["<end>"], "[ab]+")
    words = "BPETokenizer.from_merges([(b'a', b'b')], ['<end>'], '[ab]+')"
    see(f"{words}.special_tokens", made.special_tokens).gives({"<end>": 257})
    see(f"{words}.pattern", made.pattern).gives("[ab]+")


chunks = exercises.add(
    "BPETokenizer.chunks",
    prompt=(
        "Cut the text by self.expression, a compiled regular expression, and return a list of strings that "
        "together are the text. Each match is a chunk, and so is what lies before, between and after the "
        "matches. There are no empty chunks. If self.expression is None, the whole text is one chunk."
    ),
    hints=(
        "Nothing of the text may be lost: remember where the last match ended.",
        "`self.expression.finditer(text)` gives the matches; `match.span()` says where one starts and stops.",
        "For each match append text[position:start] and text[start:stop], at the end text[position:]; throw "
        "out what is empty.",
    ),
    mistakes=(
        wrong(
            """
            def chunks(self, text):
                if self.expression is None:
                    return [text] if text else []
                return [match[0] for match in self.expression.finditer(text) if match[0]]
            """,
            "What lies between two matches is lost: it has to be a chunk, too.",
        ),
        swap(
            "[*found, text[position:]]",
            "found",
            "What stands after the last match is lost: it has to be a chunk, too.",
        ),
        swap(
            " if chunk]",
            "]",
            "There are empty chunks, where two matches touch: leave these out.",
        ),
        swap(
            "[text] if text else []",
            "[text]",
            "Without a pattern, an empty text gives an empty chunk; it has none.",
        ),
        wrong(
            """
            def chunks(self, text):
                if self.expression is None:
                    return [text] if text else []
                return [chunk for chunk in re.split(f"({self.expression.pattern})", text) if chunk]
            """,
            "re.split puts in what each group of the pattern holds, a second time: use finditer, and the "
            "whole of each match.",
        ),
        swap(
            "[text] if text else []",
            "list(text)",
            "Without a pattern the text is cut into characters; it has to be one chunk.",
        ),
        wrong(
            """
            def chunks(self, text):
                if self.expression is None:
                    return [text] if text else []
                return [chunk for chunk in self.expression.split(text) if chunk]
            """,
            "The text is cut at the matches and loses them: the matches are chunks, too.",
        ),
    ),
)


@chunks.check("words with the space before them")
def _():
    call(bpe(pattern=" ?[a-z]+").chunks, "the cat naps").gives(["the", " cat", " naps"])


@chunks.check("what lies between the matches is a chunk, too")
def _():
    call(bpe(pattern="[a-z]+").chunks, "1, two three!!").gives(["1, ", "two", " ", "three", "!!"])
    call(bpe(pattern="[a-z]+").chunks, "2017").gives(["2017"])


@chunks.check("no chunk is empty")
def _():
    call(bpe(pattern="[ab]").chunks, "abba").gives(["a", "b", "b", "a"])
    call(bpe(pattern="b*").chunks, "abca").gives(["a", "b", "c", "a"])
    call(bpe(pattern="[ab]").chunks, "").gives([])


@chunks.check("without a pattern all text is one chunk")
def _():
    call(bpe().chunks, "the cat").gives(["the cat"])
    call(bpe().chunks, "").gives([])


@chunks.check("a pattern with a group in it")
def _():
    call(bpe(pattern="(a|b)c").chunks, "xacbc").gives(["x", "ac", "bc"])


encode_chunk = exercises.add(
    "BPETokenizer.encode_chunk",
    prompt=(
        "Return the ids of a chunk of bytes, as a list of ints. Begin with its single bytes. Of all "
        "neighbours that together are a token in self.ranks, join those whose token has the lowest id, the "
        "leftmost of several; begin again until no two can be joined."
    ),
    hints=(
        "Keep a list of parts, bytes each: at first [chunk[i : i + 1] for every i].",
        "In each round look at all neighbours a, b with a + b in self.ranks, and take the smallest (rank, "
        "place).",
        "`parts[i : i + 2] = [parts[i] + parts[i + 1]]` joins them. When no pair is left, the answer is "
        "[self.ranks[part] for part in parts]. The heap gives the same ids faster.",
    ),
    mistakes=(
        wrong(
            """
            def encode_chunk(self, chunk):
                ids, start = [], 0
                while start < len(chunk):
                    stop = len(chunk)
                    while chunk[start:stop] not in self.ranks:
                        stop -= 1
                    ids.append(self.ranks[chunk[start:stop]])
                    start = stop
                return ids
            """,
            "The longest token that fits is taken from the left; what was learned first has to be joined "
            "first.",
        ),
        wrong(
            """
            def encode_chunk(self, chunk):
                parts = [chunk[i : i + 1] for i in range(len(chunk))]
                while True:
                    found = [i for i in range(len(parts) - 1) if parts[i] + parts[i + 1] in self.ranks]
                    if not found:
                        return [self.ranks[part] for part in parts]
                    i = found[0]
                    parts[i : i + 2] = [parts[i] + parts[i + 1]]
            """,
            "The leftmost pair that is a token is joined first; it has to be the one of the lowest rank.",
        ),
        wrong(
            """
            def encode_chunk(self, chunk):
                parts = [chunk[i : i + 1] for i in range(len(chunk))]
                while True:
                    pairs = [(parts[i] + parts[i + 1], -i) for i in range(len(parts) - 1)]
                    found = [(self.ranks[token], i) for token, i in pairs if token in self.ranks]
                    if not found:
                        return [self.ranks[part] for part in parts]
                    i = -max(found)[1]
                    parts[i : i + 2] = [parts[i] + parts[i + 1]]
            """,
            "The pair of the highest rank is joined first; it has to be the lowest, what was learned first.",
        ),
        wrong(
            """
            def encode_chunk(self, chunk):
                parts = [chunk[i : i + 1] for i in range(len(chunk))]
                while True:
                    pairs = [(parts[i] + parts[i + 1], -i) for i in range(len(parts) - 1)]
                    found = [(self.ranks[token], i) for token, i in pairs if token in self.ranks]
                    if not found:
                        return [self.ranks[part] for part in parts]
                    i = -min(found)[1]
                    parts[i : i + 2] = [parts[i] + parts[i + 1]]
            """,
            "Of several pairs of the same rank the rightmost is joined first; it has to be the leftmost.",
        ),
        wrong(
            """
            def encode_chunk(self, chunk):
                parts = [chunk[i : i + 1] for i in range(len(chunk))]
                for token in sorted(self.ranks, key=self.ranks.get):
                    i = 0
                    while i < len(parts) - 1:
                        if parts[i] + parts[i + 1] == token:
                            parts[i : i + 2] = [token]
                        i += 1
                return [self.ranks[part] for part in parts]
            """,
            "Each token is looked for once, in the order of the ranks; a join can make a pair of a lower "
            "rank, so begin again.",
        ),
        wrong(
            """
            def encode_chunk(self, chunk):
                ids = list(chunk)
                while True:
                    tokens = [self.tokens[a] + self.tokens[b] for a, b in pairwise(ids)]
                    found = [(self.ranks[token], i) for i, token in enumerate(tokens) if token in self.ranks]
                    if not found:
                        return ids
                    rank, i = min(found)
                    ids[i : i + 2] = [rank]
            """,
            "A byte's number is taken for its id; self.ranks says which id it has.",
        ),
        wrong(
            """
            def encode_chunk(self, chunk):
                return [self.ranks[chunk[i : i + 1]] for i in range(len(chunk))]
            """,
            "Every byte stays by itself: no neighbours are joined.",
        ),
    ),
)


@encode_chunk.check("'the' is one token when th and the were learned")
def _():
    call(bpe(b"th", b"the").encode_chunk, b"the").gives([257])
    call(bpe(b"th", b"the").encode_chunk, b"thath").gives([256, 97, 256])


@encode_chunk.check("what was learned first is joined first")
def _():
    call(bpe(b"bc", b"ab").encode_chunk, b"abcd").gives([97, 256, 100])


@encode_chunk.check("what was learned last is joined last")
def _():
    call(bpe(b"ab", b"bc").encode_chunk, b"abc").gives([256, 99])


@encode_chunk.check("a long token grows from the parts that were learned before it")
def _():
    call(bpe(b"bc", b"bcd", b"abcd", b"ab").encode_chunk, b"abcdx").gives([258, 120])


@encode_chunk.check("a join can make a pair of a lower rank")
def _():
    call(bpe(b"abc", b"ab").encode_chunk, b"abcx").gives([256, 120])


@encode_chunk.check("a byte's id may be another number")
def _():
    backwards = BPETokenizer({**{byte: 255 - i for byte, i in BYTES.items()}, b"ab": 256}, (), None)
    words = "encode_chunk(b'abc'), the ids of the bytes going from 255 down to 0"
    see(words, backwards.encode_chunk(b"abc")).gives([256, 156])


@encode_chunk.check("of equal pairs the leftmost is joined")
def _():
    call(bpe(b"aa").encode_chunk, b"aaa").gives([256, 97])
    call(bpe(b"aa", b"aaaa").encode_chunk, b"aaaaaaa").gives([257, 256, 97])


@encode_chunk.check("a joined part can be joined again with either neighbour")
def _():
    call(bpe(b"na", b"ba", b"nana", b"banana").encode_chunk, b"banana!").gives([259, 33])
    call(bpe(b"\xc3\xa9", b"t\xc3\xa9").encode_chunk, "été".encode()).gives([256, 257])


@encode_chunk.check("what nothing was learned of stays bytes")
def _():
    call(bpe(b"th").encode_chunk, b"cat").gives([99, 97, 116])
    call(bpe(b"th").encode_chunk, b"c").gives([99])


train_bpe = exercises.add(
    "BPETokenizer.train",
    prompt=(
        "Learn a tokenizer of `vocab_size` tokens: the 256 bytes, what learn_merges finds, then the special "
        "tokens. Cut the text at the special tokens, so that nothing is learned of them or across them, and "
        "the rest into chunks by `pattern`. ValueError if vocab_size has no room for bytes and special "
        "tokens."
    ),
    hints=(
        "How many merges may there be? The bytes and the special tokens need their places, too.",
        "`parted(text, special_tokens)` cuts at the special tokens and keeps them in the list: leave those "
        "parts out. A tokenizer of bytes alone, `cls.from_merges([], (), pattern)`, cuts the rest into "
        "chunks.",
        "`Counter(…)` of all the chunks goes to learn_merges(chunks, room), and what comes back goes to "
        "cls.from_merges(merges, special_tokens, pattern).",
    ),
    mistakes=(
        swap(
            "room = vocab_size - 256 - len(special_tokens)",
            "room = vocab_size - 256",
            "The special tokens come on top: they have to be among the vocab_size tokens.",
        ),
        swap(
            "plain = [part for part in parted(text, special_tokens) if part not in special_tokens]",
            "plain = [text]",
            "Merges are learned from the letters of special tokens and across them: cut these out first.",
        ),
        swap(
            "if part not in special_tokens]",
            "]",
            "Merges are learned from the letters of special tokens: leave these parts out.",
        ),
        swap(
            "        chunks = Counter(chunk for part in plain for chunk in cls.from_merges([], (), "
            "pattern).chunks(part))\n",
            "        chunks = Counter(plain)\n",
            "The text is not cut into chunks by the pattern: tokens reach from one word into the next.",
        ),
        swap(
            "chunks = Counter(chunk for part in plain for chunk in cls.from_merges([], (), "
            "pattern).chunks(part))",
            "chunks = dict.fromkeys((c for p in plain for c in cls.from_merges([], (), "
            "pattern).chunks(p)), 1)",
            "Every chunk counts once, however often it occurs: count them.",
        ),
        swap(
            "room), special_tokens, pattern)",
            "room), (), pattern)",
            "The tokenizer has no special tokens: pass them on.",
        ),
        swap(
            "room), special_tokens, pattern)",
            "room), special_tokens)",
            "The tokenizer has the usual pattern, and would cut new text in another way: pass it on.",
        ),
        swap(
            "room < 0",
            "room <= 0",
            "A vocabulary of just the bytes and the special tokens is refused; it has no merges.",
        ),
        wrong(
            """
            def train(cls, text, vocab_size, special_tokens=(), pattern=GPT2_PATTERN):
                room = vocab_size - 256 - len(special_tokens)
                if room < 0:
                    raise ValueError("no room")
                for name in special_tokens:
                    text = text.replace(name, "")
                chunks = Counter(cls.from_merges([], (), pattern).chunks(text))
                return cls.from_merges(learn_merges(chunks, room), special_tokens, pattern)
            """,
            "The special tokens are taken out and the text around them closes up, so that merges are learned "
            "across them: cut the text there.",
        ),
    ),
)


def tokens_after_bytes(tokenizer):
    return [token for token, id in sorted(tokenizer.ranks.items(), key=lambda item: item[1]) if id > 255]


def see_learned(text, size, *more):
    words = f"the learned tokens of BPETokenizer.train({text!r}, {', '.join(map(repr, (size, *more)))})"
    return see(words, tokens_after_bytes(BPETokenizer.train(text, size, *more)))


@train_bpe.check("three merges of one chunk")
def _():
    see_learned("aaabdaaabac", 259, (), None).gives([b"aa", b"ab", b"aaab"])


@train_bpe.check("chunks are counted, and no token reaches from one into the next")
def _():
    see_learned("ab cd cd cd cd ab", 300, (), " ?[a-z]+").gives([b" c", b" cd", b"ab"])
    see_learned("go go go to to", 257, (), "[a-z]+").gives([b"go"])
    see_learned("to to xgo xgo ygo", 257, (), "[a-z]+").gives([b"go"])


@train_bpe.check("special tokens are part of vocab_size and get the last ids")
def _():
    made = BPETokenizer.train("abababcdcd", 259, ["<pad>", "<end>"], None)
    words = "BPETokenizer.train('abababcdcd', 259, ['<pad>', '<end>'], None)"
    see(f"{words}.special_tokens", made.special_tokens).gives({"<pad>": 257, "<end>": 258})
    see(f"len({words})", len(made)).gives(259)
    see(f"{words}.pattern", made.pattern).gives(None)


@train_bpe.check("there may be room for no merge")
def _():
    see_learned("abab", 256, (), None).gives([])


@train_bpe.check("nothing is learned of special tokens or across them")
def _():
    see_learned("xy<e>xy<e>xz<e>", 262, ["<e>"], None).gives([b"xy"])
    see_learned("x<e>y" * 3, 260, ["<e>"], None).gives([b"yx"])


@train_bpe.check("a vocabulary that cannot hold the bytes and special tokens is an error")
def _():
    raises(ValueError, BPETokenizer.train, "text", 255, (), None)
    raises(ValueError, BPETokenizer.train, "text", 256, ["<end>"], None)

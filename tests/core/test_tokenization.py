"""Tokenizers: exact round trips, the textbook's merges, and the same ids as tiktoken."""

import json
import re
import string
import sys
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinytorch as tt
from tinytorch.core.tensor import Tensor
from tinytorch.core.tokenization import (
    GPT2_PATTERN,
    BPETokenizer,
    CharTokenizer,
    Tokenizer,
    compile_pattern,
    learn_merges,
    merge,
)

CORPUS = Path(__file__)  # any longer text will do
SPECIAL = ["<pad>", "<unk>", "<|end|>"]

# Text with the characters that make tokenizers stumble, and characters of every other kind that UTF-8 has.
characters = st.one_of(
    st.sampled_from("ab '\n\t\r09.,!é日本語\u0301\u200d👩🏽‍🚀\xa0\u3000\x00\x1c\x1f\x85ǅⅣ²"),
    st.characters(exclude_categories=["Cs"]),
)
texts = st.one_of(st.text(characters, max_size=40), st.text("ab ", max_size=60))


def read_corpus():
    return CORPUS.read_text(encoding="utf-8")[:10_000] + "Ünïcödé, 日本語 text 👩🏽‍🚀 — it's 2017!\n" * 20


@pytest.fixture(scope="module")
def bpe():
    return BPETokenizer.train(read_corpus(), 700, SPECIAL)


@pytest.fixture(scope="module")
def chars():
    return CharTokenizer.train("hello world", SPECIAL)


@pytest.fixture(scope="module")
def tiktoken():
    return pytest.importorskip("tiktoken", reason="tiktoken is the oracle of this test")


@pytest.fixture(scope="module")
def regex():
    return pytest.importorskip("regex", reason="regex is the oracle of this test: it knows \\p{L}")


# Characters


def test_the_characters_are_numbered_in_order_and_special_tokens_after_them():
    tokenizer = CharTokenizer.train("banana", ["<pad>", "<end>"])
    assert tokenizer.encode("nab") == [2, 0, 1]
    assert tokenizer.special_tokens == {"<pad>": 3, "<end>": 4}
    assert len(tokenizer) == 5
    assert tokenizer.pad_id == 3
    assert tokenizer.decode([1, 0, 2, 4]) == "ban<end>"


def test_characters_can_be_given_in_an_order_of_ones_own():
    assert CharTokenizer("zyx").encode("xyz") == [2, 1, 0]
    with pytest.raises(ValueError, match="the character 'z' came twice"):
        CharTokenizer("zyz")


def test_an_unknown_character_is_named():
    with pytest.raises(ValueError, match=r"encode: 'x' is not among the 2 known characters; .*<unk>"):
        CharTokenizer("ab").encode("abx")


def test_an_unknown_character_becomes_unk_where_there_is_one():
    tokenizer = CharTokenizer("ab", ["<unk>"])
    assert tokenizer.encode("axb") == [0, 2, 1]
    assert tokenizer.decode([0, 2, 1]) == "a<unk>b"


@settings(deadline=None)
@given(st.text(characters))
def test_any_text_survives_a_tokenizer_of_its_own_characters(text):
    tokenizer = CharTokenizer.train(text)
    ids = tokenizer.encode(text)
    assert len(ids) == len(text)
    assert tokenizer.decode(ids) == text
    assert len(tokenizer) == len(set(text))


def test_no_text_gives_an_empty_vocabulary():
    tokenizer = CharTokenizer.train("")
    assert len(tokenizer) == 0
    assert tokenizer.encode("") == []
    assert tokenizer.decode([]) == ""
    assert tokenizer.pad_id is None


# Bytes and merges


def test_training_joins_the_most_frequent_pair_first():
    tokenizer = BPETokenizer.train("aaabdaaabac", 259, pattern=None)
    # aaabdaaabac -> ZabdZabac (Z = aa) -> ZYdZYac (Y = ab) -> XdXac (X = ZY)
    assert list(tokenizer.ranks)[256:] == [b"aa", b"ab", b"aaab"]
    assert tokenizer.encode("aaabdaaabac") == [258, ord("d"), 258, ord("a"), ord("c")]


def test_of_equally_frequent_pairs_the_smaller_ids_are_joined_first():
    assert learn_merges({"dc": 2, "ab": 2, "ac": 2}, 3) == [(b"a", b"b"), (b"a", b"c"), (b"d", b"c")]


def test_training_ends_when_no_pair_stands_twice():
    tokenizer = BPETokenizer.train("abab xyz", 10_000)
    assert list(tokenizer.ranks)[256:] == [b"ab"]
    assert len(tokenizer) == 257


@pytest.mark.parametrize("text", ["", "a", "ab", "😀"])
def test_a_text_without_a_repeated_pair_teaches_nothing(text):
    tokenizer = BPETokenizer.train(text, 300)
    assert len(tokenizer) == 256
    assert tokenizer.encode(text) == list(text.encode())


def test_merge_replaces_from_the_left():
    assert merge([1, 1, 1], (1, 1), 9) == [9, 1]
    assert merge([1, 2, 1, 2, 1], (1, 2), 9) == [9, 9, 1]
    assert merge([], (1, 2), 9) == []
    assert merge([1], (1, 2), 9) == [1]


def textbook_merges(words, count):
    """Count all pairs of all words, join the most frequent everywhere, and begin again."""
    words = {tuple(bytes([byte]) for byte in word.encode()): often for word, often in words.items()}
    order = {bytes([byte]): byte for byte in range(256)}
    merges = []
    while len(order) < 256 + count:
        counts = Counter()
        for word, often in words.items():
            for pair in pairwise(word):
                counts[pair] += often
        if not counts or max(counts.values()) < 2:
            break
        left, right = min(counts, key=lambda pair: (-counts[pair], order[pair[0]], order[pair[1]]))
        order.setdefault(left + right, len(order))
        merges.append((left, right))
        joined = Counter()
        for word, often in words.items():
            joined[tuple(merge(list(word), (left, right), left + right))] += often
        words = joined
    return merges


@settings(deadline=None)
@given(
    st.dictionaries(st.text("abcd", min_size=1, max_size=12), st.integers(1, 5), max_size=12),
    st.integers(0, 30),
)
@example({"aaaaaaa": 1, "aaaa": 3}, 5)
@example({"abcabcdbcdabcd": 2, "bcbcd": 1, "ababab": 1}, 20)
def test_counting_only_what_changed_learns_the_textbooks_merges(words, count):
    assert learn_merges(words, count) == textbook_merges(words, count)


def test_counting_only_what_changed_learns_the_textbooks_merges_of_a_corpus():
    words = Counter(re.findall(r"\w+|\W", read_corpus()))
    assert learn_merges(words, 60) == textbook_merges(words, 60)


def textbook_encode(chunk, ranks):
    """Look at all neighbours, join the pair of the lowest rank, the leftmost of several, and begin again."""
    parts = [bytes([byte]) for byte in chunk]
    while chunk not in ranks:
        candidates = [(ranks[a + b], i) for i, (a, b) in enumerate(pairwise(parts)) if a + b in ranks]
        if not candidates:
            break
        _, i = min(candidates)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    return [ranks[chunk]] if chunk in ranks else [ranks[part] for part in parts]


@settings(deadline=None)
@given(
    st.lists(st.text("abc", min_size=2, max_size=5), max_size=15, unique=True), st.text("abc", max_size=40)
)
@example(["bc", "bcb", "ab", "abc"], "bcbcabcbcb")
def test_encoding_joins_as_the_textbook_does_whatever_the_ranks(tokens, text):
    ranks = {bytes([byte]): byte for byte in range(256)}
    ranks |= {token.encode(): 256 + i for i, token in enumerate(tokens)}
    tokenizer = BPETokenizer(ranks, pattern=None)
    expected = textbook_encode(text.encode(), ranks) if text else []
    assert tokenizer.encode(text) == expected


@settings(deadline=None)
@given(texts)
def test_any_text_survives_byte_pair_encoding(bpe, text):
    ids = bpe.encode(text)
    assert bpe.decode(ids) == text
    assert len(ids) <= len(text.encode())
    assert all(0 <= id < len(bpe) for id in ids)


@settings(deadline=None)
@given(texts, texts)
def test_ids_of_two_texts_one_after_the_other_are_ids_of_both(bpe, first, second):
    assert bpe.decode(bpe.encode(first) + bpe.encode(second)) == first + second


@settings(deadline=None)
@given(st.lists(texts, max_size=5))
def test_the_chunks_of_a_text_are_the_text(bpe, parts):
    text = "".join(parts)
    assert "".join(bpe.chunks(text)) == text
    for pattern in (None, "[ab]+", r"\p{Lu}", ""):
        chunks = BPETokenizer(bpe.ranks, pattern=pattern).chunks(text)
        assert "".join(chunks) == text
        assert all(chunks)


@settings(deadline=None)
@given(texts)
def test_a_chunk_met_before_has_the_same_ids(bpe, text):
    fresh = BPETokenizer(bpe.ranks, bpe.special_tokens)
    assert bpe.encode(text) == bpe.encode(text) == fresh.encode(text)


def test_the_memory_of_chunks_has_a_limit(bpe, monkeypatch):
    monkeypatch.setattr(BPETokenizer, "cache_size", 3)
    tokenizer = BPETokenizer(bpe.ranks)
    text = " one two three four five six"
    assert tokenizer.decode(tokenizer.encode(text * 2)) == text * 2
    assert len(tokenizer.known) <= 3


def test_no_token_reaches_over_a_chunks_border():
    tokenizer = BPETokenizer.train("ab cd " * 100, 400)
    assert b"b c" not in tokenizer.ranks
    assert b" cd" in tokenizer.ranks


def test_a_long_chunk_takes_little_more_than_its_length_in_steps(bpe):
    text = "a" * 50_000
    assert bpe.decode(bpe.encode(text)) == text


def test_a_cut_character_shows_as_the_replacement_character(bpe):
    ids = BPETokenizer.from_merges([]).encode("é")
    assert bpe.decode(ids[:1]) == "�"
    with pytest.raises(UnicodeDecodeError):
        bpe.decode(ids[:1], errors="strict")


@pytest.mark.parametrize("pattern", [GPT2_PATTERN, None])
def test_a_lone_surrogate_is_a_clear_error(bpe, pattern):
    with pytest.raises(ValueError, match=r"character 0 is U\+D800, a lone surrogate"):
        BPETokenizer(bpe.ranks, pattern=pattern).encode("\ud800")


def test_merges_can_be_given_as_bytes():
    tokenizer = BPETokenizer.from_merges([(b"t", b"h"), (b"th", b"e")], ["<|end|>"])
    assert tokenizer.encode("the") == [257]
    assert tokenizer.special_tokens == {"<|end|>": 258}
    with pytest.raises(ValueError, match="joins b'th', which is no token before it"):
        BPETokenizer.from_merges([(b"th", b"e")])


def test_training_again_gives_the_same_tokenizer(bpe):
    assert BPETokenizer.train(read_corpus(), 700, SPECIAL).ranks == bpe.ranks


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (({},), "byte 0 has none"),
        (({bytes([i]): i for i in range(255)},), "byte 255 has none"),
        (({bytes([i]): i // 2 for i in range(256)},), "stands for 2 tokens"),
        (({**{bytes([i]): i for i in range(256)}, "ab": 256},), "from bytes to ids, 'ab'"),
        (({**{bytes([i]): i for i in range(256)}, b"ab": -1},), "from bytes to ids, b'ab'"),
        (({bytes([i]): i for i in range(256)}, {"<|end|>": 7}), "another token's id"),
        (({bytes([i]): i for i in range(256)}, ["<a>", "<a>"]), "stands twice"),
        (({bytes([i]): i for i in range(256)}, [""]), "a string with something in it"),
        (({bytes([i]): i for i in range(256)}, [], "(["), "is not a regular expression"),
        (({bytes([i]): i for i in range(256)}, [], r"\p{Qx}"), "no general category 'Qx'"),
    ],
)
def test_a_bad_vocabulary_is_named(arguments, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        BPETokenizer(*arguments)


def test_a_vocabulary_that_does_not_hold_the_bytes_is_too_small():
    with pytest.raises(ValueError, match=r"256 bytes and 1 special tokens, 256 came"):
        BPETokenizer.train("text", 256, ["<|end|>"])


# Special tokens


@pytest.mark.parametrize("kind", ["bpe", "chars"])
def test_special_tokens_are_ordinary_text_unless_they_are_allowed(kind, request):
    tokenizer, end = request.getfixturevalue(kind), SPECIAL[-1]
    id = tokenizer.special_tokens[end]
    assert tokenizer.encode(f"he{end}", allowed_special={end}) == [*tokenizer.encode("he"), id]
    assert tokenizer.encode(f"{end}{end}", allowed_special="all") == [id, id]
    assert id not in tokenizer.encode(f"he{end}")
    assert id not in tokenizer.encode(f"he{end}", allowed_special={"<pad>"})
    assert tokenizer.decode([id]) == end


def test_a_disallowed_special_token_is_an_error(bpe):
    with pytest.raises(ValueError, match=r"the special token '<\|end\|>' stands in the text"):
        bpe.encode("x<|end|>", disallowed_special="all")
    assert bpe.encode("<|end|>", allowed_special="all", disallowed_special="all") == [699]
    assert bpe.encode("<|end>", disallowed_special="all") == bpe.encode("<|end>")


def test_of_two_special_tokens_that_fit_the_longer_one_is_meant():
    tokenizer = CharTokenizer("ab", ["<s>", "<s><s>"])
    assert tokenizer.encode("<s><s><s>a", allowed_special="all") == [3, 2, 0]


def test_training_learns_nothing_across_special_tokens():
    tokenizer = BPETokenizer.train("ab<|end|>cd" * 50, 300, ["<|end|>"], pattern=None)
    assert set(list(tokenizer.ranks)[256:]) == {b"ab", b"cd", b"cdab"}
    assert BPETokenizer.train("ab<|end|>" * 50, 300, ["<|end|>"], pattern=None).encode(
        "ab<|end|>", allowed_special="all"
    ) == [256, 257]


def test_an_unknown_special_token_is_named(bpe):
    with pytest.raises(ValueError, match=r"no special token '<x>'; there are: '<pad>', '<unk>', '<\|end\|>'"):
        bpe.encode("text", allowed_special={"<x>"})
    with pytest.raises(ValueError, match="a set of names or \"all\", the string '<pad>' came"):
        bpe.encode("text", allowed_special="<pad>")
    with pytest.raises(TypeError, match="a list of names"):
        CharTokenizer("ab", "<pad>")


# Ids


@pytest.mark.parametrize("wrong", [700, -1, 1.5, "a", None, [1]])
def test_an_id_that_is_none_is_named(bpe, wrong):
    with pytest.raises(ValueError, match=re.escape(f"there is no token {wrong!r}; ids go from 0 to 699")):
        bpe.decode([65, wrong])


def test_ids_may_come_as_a_tensor_or_an_array(bpe):
    ids = bpe.encode("hello")
    assert bpe.decode(tt.tensor(ids)) == bpe.decode(np.array(ids)) == bpe.decode(tuple(ids)) == "hello"


def test_only_text_is_encoded(bpe):
    with pytest.raises(TypeError, match="encode: a str is needed, bytes came"):
        bpe.encode(b"bytes")


def test_a_batch_is_padded_on_the_right(chars):
    batch = chars.encode_batch(["he", "hello", ""])
    pad = chars.pad_id
    assert isinstance(batch, Tensor)
    assert batch.dtype == tt.int64
    assert batch.tolist() == [[*chars.encode("he"), pad, pad, pad], chars.encode("hello"), [pad] * 5]
    assert chars.decode_batch(batch) == ["he", "hello", ""]


def test_a_batch_can_be_cut_and_can_be_empty(chars):
    assert chars.encode_batch(["hello", "he"], max_length=3).tolist() == [
        chars.encode("hel"), [*chars.encode("he"), chars.pad_id],
    ]  # fmt: skip
    assert chars.encode_batch([]).shape == (0, 0)
    assert chars.encode_batch([""]).shape == (1, 0)
    assert chars.decode_batch(chars.encode_batch([])) == []


def test_a_batch_without_a_padding_token_needs_equal_lengths():
    tokenizer = CharTokenizer("ab")
    assert tokenizer.encode_batch(["ab", "ba"]).tolist() == [[0, 1], [1, 0]]
    with pytest.raises(ValueError, match='need the special token "<pad>"'):
        tokenizer.encode_batch(["ab", "a"])
    with pytest.raises(TypeError, match="use encode"):
        tokenizer.encode_batch("ab")


@settings(deadline=None)
@given(st.lists(texts, max_size=4))
def test_a_batch_comes_back(bpe, batch):
    assert bpe.decode_batch(bpe.encode_batch(batch)) == batch


# Files


@pytest.mark.parametrize("kind", ["bpe", "chars"])
def test_a_saved_tokenizer_comes_back_with_its_class(kind, request, tmp_path):
    tokenizer = request.getfixturevalue(kind)
    tokenizer.save(tmp_path / "tokenizer.json")
    for cls in (Tokenizer, type(tokenizer)):
        loaded = cls.load(tmp_path / "tokenizer.json")
        assert type(loaded) is type(tokenizer)
        assert loaded.tokens == tokenizer.tokens
        assert loaded.special_tokens == tokenizer.special_tokens
        assert loaded.encode("hello<pad>", "all") == tokenizer.encode("hello<pad>", "all")
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.json"]


def test_a_saved_pattern_comes_back(bpe, tmp_path):
    for pattern in (None, r"\p{Lu}|\d+"):
        BPETokenizer(bpe.ranks, pattern=pattern).save(tmp_path / "t.json")
        assert Tokenizer.load(tmp_path / "t.json").pattern == pattern


def test_another_class_in_the_file_is_an_error(chars, tmp_path):
    chars.save(tmp_path / "t.json")
    with pytest.raises(
        ValueError, match=r"t\.json is not a tokenizer's file: it holds a CharTokenizer, not a BPE"
    ):
        BPETokenizer.load(tmp_path / "t.json")


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "null", "7", "{}", '{"tokenizer": 3}', '{"tokenizer": "Other"}', "\x00\xff",
        "[" * 100_000, '{"tokenizer": "CharTokenizer"}',
        '{"tokenizer": "CharTokenizer", "characters": "aa", "special_tokens": {}}',
        '{"tokenizer": "CharTokenizer", "characters": 5, "special_tokens": {}}',
        '{"tokenizer": "CharTokenizer", "characters": "a", "special_tokens": {"<pad>": "0"}}',
        '{"tokenizer": "BPETokenizer", "ranks": {"a": 1}, "pattern": null, "special_tokens": {}}',
        '{"tokenizer": "BPETokenizer", "ranks": {"日": 1}, "pattern": null, "special_tokens": {}}',
        '{"tokenizer": "BPETokenizer", "ranks": [], "pattern": null, "special_tokens": {}}',
        '{"tokenizer": ["CharTokenizer"]}',
    ],
)  # fmt: skip
def test_a_malformed_file_is_a_clear_error(text, tmp_path):
    path = tmp_path / "t.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=r"t\.json is not a tokenizer's file: .+"):
        Tokenizer.load(path)


@pytest.mark.parametrize("end", [1, 2, 10, 100, 0.5])
def test_a_file_that_was_cut_off_is_a_clear_error(bpe, tmp_path, end):
    path = tmp_path / "t.json"
    bpe.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: -int(end * len(whole) if end < 1 else end)])
    with pytest.raises(ValueError, match="is not a tokenizer's file"):
        Tokenizer.load(path)


def test_saving_leaves_the_old_file_when_it_fails(chars, tmp_path, monkeypatch):
    path = tmp_path / "t.json"
    chars.save(path)
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("the disk is full")))
    with pytest.raises(OSError, match="the disk is full"):
        CharTokenizer("ab").save(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["t.json"]


def test_a_saved_file_is_plain_json(bpe, tmp_path):
    bpe.save(tmp_path / "t.json")
    state = json.loads((tmp_path / "t.json").read_text(encoding="ascii"))
    assert state["tokenizer"] == "BPETokenizer"
    assert state["ranks"]["a"] == 97


# Against the libraries of the field


def known_to_this_python(text):
    """Libraries follow later versions of Unicode; what this Python's has not assigned yet is left out."""
    return "".join(c for c in text if unicodedata.category(c) not in ("Cn", "Cs"))


@pytest.fixture(scope="module")
def both(bpe, tiktoken):
    return bpe, tiktoken.Encoding(
        "ours", pat_str=GPT2_PATTERN, mergeable_ranks=bpe.ranks, special_tokens=bpe.special_tokens
    )


@settings(max_examples=300, deadline=None)
@given(texts)
def test_the_ids_are_tiktokens(both, text):
    ours, theirs = both
    text = known_to_this_python(text)
    assert ours.encode(text) == theirs.encode_ordinary(text)
    assert ours.decode(ours.encode(text)) == theirs.decode(theirs.encode_ordinary(text))


def test_the_ids_of_a_corpus_are_tiktokens(both):
    ours, theirs = both
    text = read_corpus() + CORPUS.read_text(encoding="utf-8")
    assert ours.encode(text) == theirs.encode_ordinary(text)


@settings(deadline=None)
@given(st.lists(st.one_of(texts, st.sampled_from(SPECIAL)), max_size=6), st.sets(st.sampled_from(SPECIAL)))
def test_special_tokens_are_read_as_tiktoken_reads_them(both, parts, allowed):
    ours, theirs = both
    text = known_to_this_python("".join(parts))
    expected = theirs.encode(text, allowed_special=allowed, disallowed_special=())
    assert ours.encode(text, allowed_special=allowed) == expected


@settings(deadline=None)
@given(
    st.lists(st.text("abc", min_size=2, max_size=5), max_size=12, unique=True), st.text("abc", max_size=30)
)
def test_any_ranks_give_tiktokens_ids(tiktoken, tokens, text):
    ranks = {bytes([byte]): byte for byte in range(256)}
    ranks |= {token.encode(): 256 + i for i, token in enumerate(tokens)}
    theirs = tiktoken.Encoding("ours", pat_str=r"[\s\S]+", mergeable_ranks=ranks, special_tokens={})
    assert BPETokenizer(ranks, pattern=None).encode(text) == theirs.encode_ordinary(text)


@pytest.mark.parametrize("length", [99, 100, 101, 499, 500, 501, 3000])
def test_long_chunks_have_tiktokens_ids(both, length):
    """tiktoken treats chunks of 500 bytes and more by another algorithm."""
    ours, theirs = both
    for text in ("a" * length, (string.ascii_letters * 60)[:length], ("self" * 750)[:length]):
        assert ours.encode(text) == theirs.encode_ordinary(text)


@settings(max_examples=300, deadline=None)
@given(texts)
def test_gpt2s_pattern_cuts_as_regex_does(regex, text):
    original = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
    text = known_to_this_python(text)
    assert compile_pattern(GPT2_PATTERN).findall(text) == regex.findall(original, text)


@pytest.mark.parametrize(
    "pattern", [r"\p{L}", r"\p{N}", r"\P{L}", r"\s", r"\S", r"[^\p{Lu}\P{L}]", r"[\[\S]", r"[[\s]"]
)
def test_a_class_has_the_characters_that_regex_has(regex, pattern):
    every = known_to_this_python(map(chr, range(sys.maxunicode + 1)))
    expected = regex.findall(pattern.replace("[[", r"[\["), every)
    assert compile_pattern(pattern).findall(every) == expected


def test_other_escapes_stay_as_they_are():
    assert compile_pattern(r"\\p|\d\]|[\]a]").findall(r"\p 1] ]a") == [r"\p", "1]", "]", "a"]

"""Check tinytalks.tsv and write its split column.

    python datasets/tinytalks/split_tinytalks.py

Run it after editing a question or an answer: it refuses a set that breaks the rules of the datasheet,
else rewrites the file with the splits that the pairs decide. Standard library only.
"""

import csv
import hashlib
import sys
from collections import Counter
from pathlib import Path

FILE = Path(__file__).with_name("tinytalks.tsv")
COLUMNS = ("level", "split", "question", "answer")
LEVELS = ("1", "2", "3", "4", "5")
PAIRS_PER_LEVEL = 70
HELD_OUT_PER_LEVEL = 7  # for validation, and as many again for the test
CHARACTERS = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,?!")
LONGEST_LINE = 60
LARGEST_FILE = 40_000


def read(path=FILE):
    """Rows of the file as dictionaries, in its order."""
    with open(path, encoding="ascii", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def faults(rows):
    """Every broken rule, as a sentence; an empty list when the set is sound."""
    found = []
    counts = Counter(row["level"] for row in rows)
    if counts != dict.fromkeys(LEVELS, PAIRS_PER_LEVEL):
        found.append(f"pairs by level: {dict(counts)}, but each of 1 to 5 has {PAIRS_PER_LEVEL}")
    questions = Counter(row["question"].casefold() for row in rows)
    found += [f"asked {count} times: {question}" for question, count in questions.items() if count > 1]
    answers = Counter(row["answer"] for row in rows)
    found += [f"given {count} times, not twice: {answer}" for answer, count in answers.items() if count != 2]
    for row in rows:
        for text in (row["question"], row["answer"]):
            if not set(text) <= CHARACTERS:
                found.append(f"characters {sorted(set(text) - CHARACTERS)} in: {text}")
            if len(text) > LONGEST_LINE:
                found.append(f"{len(text)} characters, but at most {LONGEST_LINE}: {text}")
            if text != " ".join(text.split()) or (not text[:1].isupper() and not text[:1].isdigit()):
                found.append(f"starts with a small letter or has stray spaces: {text}")
            if text[-1:] not in {".", "?", "!"}:
                found.append(f"does not end a sentence: {text}")
    return found


def digest(row):
    return hashlib.sha256(f"{row['question']}\t{row['answer']}".encode()).hexdigest()


def split(rows):
    """The rows again, with their splits, ordered by level.

    Within a level the pairs are ranked by the SHA-256 of "question TAB answer", one for each answer: the
    first seven are the test set, the next seven the validation set. The other question with that answer
    is always in the training set. No generator, no seed, no dependence on the order.
    """
    result = []
    for level in LEVELS:
        members = [row for row in rows if row["level"] == level]
        first = {}
        for row in sorted(members, key=digest):
            first.setdefault(row["answer"], row["question"])
        ranked = list(first.values())
        test = set(ranked[:HELD_OUT_PER_LEVEL])
        val = set(ranked[HELD_OUT_PER_LEVEL : 2 * HELD_OUT_PER_LEVEL])
        for row in members:
            name = "test" if row["question"] in test else "val" if row["question"] in val else "train"
            result.append({**row, "split": name})
    return result


def text_of(rows):
    """The file's text: a header, then one tab-separated line a pair."""
    lines = ["\t".join(COLUMNS)]
    lines += ["\t".join(row[column] for column in COLUMNS) for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    pairs = read()
    text = text_of(split(pairs))
    problems = faults(pairs)
    if len(text) > LARGEST_FILE:
        problems.append(f"{len(text)} bytes, but at most {LARGEST_FILE}")
    if problems:
        sys.exit("\n".join(problems))
    FILE.write_text(text, encoding="ascii", newline="\n")
    print(f"{FILE.name}: {len(pairs)} pairs, {len(text)} bytes")

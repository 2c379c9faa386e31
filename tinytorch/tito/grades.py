"""`tito grade`: the grades of a folder of submissions, as a table or as CSV."""

import csv
import sys
from collections import Counter
from dataclasses import asdict, fields
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from ..journey.grading import Grade, grade
from ..journey.manifest import Module
from ..journey.workshop import WorkshopError

# What a spreadsheet would take for a formula when it opens the file.
FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def grade_all(
    place: Path, out: Console, as_csv: bool, seconds: float, memory: int, modules: tuple[Module, ...]
) -> int:
    submissions = [place] if place.is_file() else sorted(place.glob("*.zip"))
    if not submissions:
        raise WorkshopError(f"There is no .zip file in {place}. Students make one with `tito export`.")

    def finished(name: str) -> None:
        click.echo(f"graded {name}", err=True)

    grades = list(grade(submissions, modules, seconds, memory, finished))
    if as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        names = [field.name for field in fields(Grade)]
        writer.writerow(names)
        writer.writerows([_safe(value) for value in asdict(each).values()] for each in grades)
    else:
        out.print(summary(grades))
    return 1 if any(each.state == "unreadable" for each in grades) else 0


def _safe(value: object) -> object:
    if isinstance(value, str):
        value = " ".join(value.split())
        return f"'{value}" if value.startswith(FORMULAS) else value
    return value


def summary(grades: list[Grade]) -> Table:
    """A line for each submission: how many exercises pass, and module by module."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("submission", "solved", "by module"):
        table.add_column(column)
    for name in dict.fromkeys(each.submission for each in grades):
        own = [each for each in grades if each.submission == name]
        if own[0].state == "unreadable":
            table.add_row(name, "unreadable", own[0].remark)
            continue
        total = Counter(each.module for each in own)
        passed = Counter(each.module for each in own if each.state == "passed")
        parts = [f"{module[:2]}: {passed[module]}/{total[module]}" for module in total if passed[module]]
        table.add_row(name, f"{sum(passed.values())} of {len(own)}", "  ".join(parts))
    return table

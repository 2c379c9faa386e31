"""`tito competition`: the leaderboards that milestone 06's submit.py keeps, as tables."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..core.competition import CLOSED, OPEN, Leaderboard, SubmissionError, printable, shown
from ..journey.workshop import WorkshopError

COLUMNS = ("rank", "name", "accuracy", "bytes", "times as fast", "note")


def boards(out: Console, folder: Path) -> None:
    """Print every board below a folder, such as bundles/leaderboard, which holds one for each network."""
    places = sorted({path.parent for path in folder.rglob("accepted/*.json")})
    if not places:
        raise WorkshopError(
            f"There is no accepted submission in {folder}. `tito competition enter` makes one."
        )
    for number, place in enumerate(places):
        try:
            tables = [table for division in (CLOSED, OPEN) if (table := board(place, division))]
        except (SubmissionError, ValueError, KeyError) as error:
            raise WorkshopError(f"{place} cannot be read: {error}") from None
        out.print(Text(("\n" if number else "") + place.parent.name, style="bold"))
        out.print(*tables, sep="\n")


def board(place: Path, division: str) -> Table | None:
    """The table of a division, or None if nobody is in it."""
    kept = Leaderboard(place, task=None)
    # The order does not depend on how large the reference is, so it need not be built to show the order.
    kept.reference_nbytes = 1
    entries = kept.entries(division)
    if not entries:
        return None
    table = Table(
        box=None, pad_edge=False, header_style="dim", title=f"{division} division", title_justify="left"
    )
    for column in COLUMNS:
        table.add_column(column)
    for entry in entries:
        measured = entry.measured
        cells = (str(entry.rank), entry.submission.name, f"{measured.accuracy:.4f}", f"{measured.nbytes:,}",
                 shown(measured.speedup), entry.note)  # fmt: skip
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table

"""The rows as a table: for a terminal, and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.peers.catalogue import ENTRIES
from benchmarks.peers.trial import Measured, Row
from benchmarks.report import digits

TITLE = "One durable save per message of about 600 bytes"
COLUMNS = (
    *("library", "messages", "p50, µs", "× floor", "p99, µs", "disk, MB", "× raw"),
    *("load, ms", "mode"),
)
MEGABYTE = 1e6
NONE = "—"


def _cells(title: str, row: Row) -> tuple[str, ...]:
    messages = f"{row.messages:,}"
    found = row.result
    if not isinstance(found, Measured):
        return (title, messages, *[NONE] * 6, found)
    return (
        title,
        messages,
        digits(found.save_p50_us),
        f"{found.times_floor:.2f}",
        digits(found.save_p99_us),
        digits(found.disk_bytes / MEGABYTE),
        digits(found.times_raw),
        digits(found.load_ms),
        found.mode,
    )


def lines(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    """The table's lines; a library is named in its first, with the number of its note."""
    marks = _marks(rows)
    named = ""
    for row in rows:
        title = f"{ENTRIES[row.name].title} ({marks[row.name]})"
        yield _cells("" if row.name == named else title, row)
        named = row.name


def notes(rows: Sequence[Row]) -> list[str]:
    """Versions and caveat of each library, in the order of their numbers."""
    return [ENTRIES[name].note() for name in _marks(rows)]


def how_measured(rows: Sequence[Row], loads: int) -> str:
    found = [row.result for row in rows if isinstance(row.result, Measured)]
    saves = " or ".join(f"{count}" for count in sorted({each.saves_timed for each in found}))
    floors = [each.floor_p50_us for each in found] or [math.nan]
    return (
        f"p50 and p99: of the last {saves or 'no'} saves; floor: bare SQLite inserts, synced, in"
        f" turns with those saves, whose p50 went from {digits(min(floors))} to"
        f" {digits(max(floors))} µs; disk: all files after a clean close, times the messages as"
        f" msgpack; load: opening and reading all in a new process with a warm page cache, timed"
        f" inside it after its imports, median of {loads}; mode: SQLite's journal and synchronous"
    )


def print_table(
    console: Console, rows: Sequence[Row], told: dict[str, str], explained: str
) -> None:
    table = Table(title=TITLE, title_justify="left")
    for number, column in enumerate(COLUMNS):
        is_figure = 0 < number < len(COLUMNS) - 1
        table.add_column(column, justify="right" if is_figure else "left")
    for line, row, following in zip(lines(rows), rows, [*rows[1:], None]):
        last_of_its_kind = following is None or following.name != row.name
        table.add_row(*line, end_section=last_of_its_kind)
    console.print(table)
    for number, note in enumerate(notes(rows), 1):
        console.print(f"{number}  {note}", highlight=False)
    console.print(explained, highlight=False)
    for name, value in told.items():
        console.print(f"{name}: {value}", highlight=False)


def markdown(rows: Sequence[Row], told: dict[str, str], explained: str) -> str:
    """The same as a section of a document."""
    align = ["---", *["--:"] * (len(COLUMNS) - 2), "---"]
    table = [COLUMNS, align, *lines(rows)]
    text = [f"{TITLE}: {explained}.", ""]
    text += [f"| {' | '.join(map(_escaped, line))} |" for line in table]
    text += ["", *(f"{number}. {note}" for number, note in enumerate(notes(rows), 1))]
    text += ["", "```", *(f"{name}: {value}" for name, value in told.items()), "```"]
    return "\n".join(text)


def _marks(rows: Sequence[Row]) -> dict[str, int]:
    names = dict.fromkeys(row.name for row in rows)
    return {name: number for number, name in enumerate(names, 1)}


def _escaped(cell: str) -> str:
    return cell.replace("|", r"\|")

"""The rows as a picture: one line per library, a dot per number of messages, three scales."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.peers.catalogue import ENTRIES
from benchmarks.peers.trial import Measured, Row
from benchmarks.svg import (
    FAINT,
    FLOOR,
    OTHERS,
    OURS,
    QUIET,
    Scale,
    dot,
    line,
    picture,
    scale_of,
    short,
    text,
    time_text,
)

LABELS_PX, PANEL_PX, GAP_PX, ROW_PX, TOP_PX, BOTTOM_PX = 220, 190, 64, 28, 78, 30


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure on a logarithmic scale."""

    title: str
    of: Callable[[Measured], float]
    text: Callable[[float], str]


PANELS = (
    Panel("one save, p50", lambda found: found.save_p50_us, time_text),
    Panel(
        "on disk, × raw messages", lambda found: found.times_raw, lambda value: f"{short(value)} ×"
    ),
    Panel("load everything", lambda found: found.load_ms * 1e3, time_text),
)


def drawn(rows: Sequence[Row]) -> str:
    """An SVG picture of `rows`: hollow dots for the fewest messages, full ones for the most."""
    names = list(dict.fromkeys(row.name for row in rows))
    width = LABELS_PX + len(PANELS) * (PANEL_PX + GAP_PX)
    height = TOP_PX + len(names) * ROW_PX + BOTTOM_PX
    parts = [*_heading(rows), *(_label(name, _y(number)) for number, name in enumerate(names))]
    for number, panel in enumerate(PANELS):
        left_px = LABELS_PX + number * (PANEL_PX + GAP_PX)
        parts += _panel(panel, rows, names, left_px)
    return picture(width, height, parts)


def _y(number: int) -> float:
    return TOP_PX + (number + 0.5) * ROW_PX


def _heading(rows: Sequence[Row]) -> Iterator[str]:
    counts = sorted({row.messages for row in rows})
    yield text(12, 24, "One durable save per message of about 600 bytes", size=15, weight="600")
    said = f"hollow: {counts[0]:,} messages, full: {counts[-1]:,}; logarithmic scales"
    yield text(12, 44, f"{said}; less is better", colour=QUIET)


def _label(name: str, y: float) -> str:
    weight = "600" if name.startswith("perdure") else "400"
    return text(LABELS_PX - 16, y + 4, ENTRIES[name].title, anchor="end", weight=weight)


def _panel(
    panel: Panel, rows: Sequence[Row], names: Sequence[str], left_px: float
) -> Iterator[str]:
    found = [row for row in rows if isinstance(row.result, Measured)]
    scale = scale_of([_value(panel, row) for row in found], left_px, PANEL_PX)
    yield text(left_px, TOP_PX - 8, panel.title, weight="600")
    bottom = TOP_PX + len(names) * ROW_PX
    for decade in scale.decades():
        x = scale.at(decade)
        yield line(x, TOP_PX, x, bottom, FAINT)
        yield text(x, bottom + 16, panel.text(decade), anchor="middle", size=10)
    for number, name in enumerate(names):
        mine = [row for row in found if row.name == name]
        yield from _dots(panel, mine, scale, _y(number))


def _dots(panel: Panel, rows: Sequence[Row], scale: Scale, y: float) -> Iterator[str]:
    if not rows:
        yield text(scale.start_px + 4, y + 4, "not measured", colour=FLOOR, size=10)
        return
    ordered = sorted(rows, key=lambda row: row.messages)
    colour = _colour(ordered[0].name)
    xs = [scale.at(_value(panel, row)) for row in ordered]
    yield line(xs[0], y, xs[-1], y, colour, width=1.5)
    for number, x in enumerate(xs, 1):
        yield dot(x, y, colour, hollow=number < len(xs))
    said = panel.text(_value(panel, ordered[-1]))
    yield text(max(xs) + 9, y + 4, said, colour=QUIET, size=10)


def _value(panel: Panel, row: Row) -> float:
    assert isinstance(row.result, Measured)
    return panel.of(row.result)


def _colour(name: str) -> str:
    if name.startswith("perdure"):
        return OURS
    return FLOOR if name.startswith("floor") else OTHERS

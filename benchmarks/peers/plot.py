"""The rows as a picture: one line per library, a dot per number of messages, three scales."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmarks.peers.catalogue import ENTRIES
from benchmarks.peers.trial import Measured, Row

LABELS_PX, PANEL_PX, GAP_PX, ROW_PX, TOP_PX, BOTTOM_PX = 220, 190, 64, 28, 78, 30
OURS, FLOOR, OTHERS, INK, FAINT = "#d9480f", "#868e96", "#1864ab", "#212529", "#dee2e6"


@dataclass(frozen=True, slots=True)
class Panel:
    """One figure on a logarithmic scale."""

    title: str
    of: Callable[[Measured], float]
    text: Callable[[float], str]


def short(value: float) -> str:
    """Three digits that count, and never an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _time(us: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if us >= size:
            return f"{short(us / size)} {unit}"
    return f"{short(us)} µs"


PANELS = (
    Panel("one save, p50", lambda found: found.save_p50_us, _time),
    Panel(
        "on disk, × raw messages", lambda found: found.times_raw, lambda value: f"{short(value)} ×"
    ),
    Panel("load everything", lambda found: found.load_ms * 1e3, _time),
)


@dataclass(frozen=True, slots=True)
class Scale:
    """Whole decades onto pixels."""

    left_px: float
    low: int
    high: int

    def x(self, value: float) -> float:
        return self.left_px + PANEL_PX * (math.log10(value) - self.low) / (self.high - self.low)


def scale_of(values: Sequence[float], left_px: float) -> Scale:
    low = math.floor(math.log10(min(values, default=1)))
    high = math.ceil(math.log10(max(values, default=1)))
    return Scale(left_px, low, max(high, low + 1))


def drawn(rows: Sequence[Row]) -> str:
    """An SVG picture of `rows`: hollow dots for the fewest messages, full ones for the most."""
    names = list(dict.fromkeys(row.name for row in rows))
    width = LABELS_PX + len(PANELS) * (PANEL_PX + GAP_PX)
    height = TOP_PX + len(names) * ROW_PX + BOTTOM_PX
    size = f'viewBox="0 0 {width} {height}" width="{width}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        *_heading(rows),
        *(_label(name, _y(number)) for number, name in enumerate(names)),
    ]
    for number, panel in enumerate(PANELS):
        left_px = LABELS_PX + number * (PANEL_PX + GAP_PX)
        parts += _panel(panel, rows, names, left_px)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _y(number: int) -> float:
    return TOP_PX + (number + 0.5) * ROW_PX


def _heading(rows: Sequence[Row]) -> Iterator[str]:
    counts = sorted({row.messages for row in rows})
    yield _text(12, 24, "One durable save per message of about 600 bytes", size=15, weight="600")
    said = f"hollow: {counts[0]:,} messages, full: {counts[-1]:,}; logarithmic scales"
    yield _text(12, 44, f"{said}; less is better", colour="#495057")


def _label(name: str, y: float) -> str:
    weight = "600" if name.startswith("perdure") else "400"
    return _text(LABELS_PX - 16, y + 4, ENTRIES[name].title, anchor="end", weight=weight)


def _panel(
    panel: Panel, rows: Sequence[Row], names: Sequence[str], left_px: float
) -> Iterator[str]:
    found = [row for row in rows if isinstance(row.result, Measured)]
    scale = scale_of([_value(panel, row) for row in found], left_px)
    yield _text(left_px, TOP_PX - 8, panel.title, weight="600")
    bottom = TOP_PX + len(names) * ROW_PX
    for decade in range(scale.low, scale.high + 1):
        x = scale.x(10.0**decade)
        yield f'<line x1="{x:.1f}" y1="{TOP_PX}" x2="{x:.1f}" y2="{bottom}" stroke="{FAINT}"/>'
        yield _text(x, bottom + 16, panel.text(10.0**decade), anchor="middle", size=10)
    for number, name in enumerate(names):
        mine = [row for row in found if row.name == name]
        yield from _dots(panel, mine, scale, _y(number))


def _dots(panel: Panel, rows: Sequence[Row], scale: Scale, y: float) -> Iterator[str]:
    if not rows:
        yield _text(scale.left_px + 4, y + 4, "not measured", colour=FLOOR, size=10)
        return
    ordered = sorted(rows, key=lambda row: row.messages)
    colour = _colour(ordered[0].name)
    xs = [scale.x(_value(panel, row)) for row in ordered]
    yield f'<line x1="{xs[0]:.1f}" y1="{y}" x2="{xs[-1]:.1f}" y2="{y}" stroke="{colour}"/>'
    for x, fill in zip(xs, ["#ffffff"] * (len(xs) - 1) + [colour]):
        yield (
            f'<circle cx="{x:.1f}" cy="{y}" r="4.5" fill="{fill}" stroke="{colour}"'
            ' stroke-width="1.5"/>'
        )
    said = panel.text(_value(panel, ordered[-1]))
    yield _text(max(xs) + 9, y + 4, said, colour="#495057", size=10)


def _value(panel: Panel, row: Row) -> float:
    assert isinstance(row.result, Measured)
    return panel.of(row.result)


def _colour(name: str) -> str:
    if name.startswith("perdure"):
        return OURS
    return FLOOR if name.startswith("floor") else OTHERS


def _text(
    x: float,
    y: float,
    said: str,
    *,
    anchor: str = "start",
    weight: str = "400",
    size: int = 12,
    colour: str = INK,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}"'
        f' font-size="{size}" fill="{colour}">{escape(said)}</text>'
    )

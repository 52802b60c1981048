"""The parts of our pictures: colours for light and dark pages, text, logarithmic scales."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

PAPER, INK, QUIET, FAINT = "#ffffff", "#212529", "#495057", "#dee2e6"
OURS, FLOOR, OTHERS = "#d9480f", "#868e96", "#1864ab"
_IN_THE_DARK = {
    PAPER: "#16181c",
    INK: "#e9ecef",
    QUIET: "#adb5bd",
    FAINT: "#343a40",
    OURS: "#ff922b",
    FLOOR: "#868e96",
    OTHERS: "#74c0fc",
}


@dataclass(frozen=True, slots=True)
class Scale:
    """Whole decades onto pixels."""

    start_px: float
    length_px: float
    """Negative where larger values are further up."""
    low: int
    high: int

    def at(self, value: float) -> float:
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start_px + self.length_px * part

    def decades(self) -> list[float]:
        return [10.0**decade for decade in range(self.low, self.high + 1)]


def scale_of(values: Sequence[float], start_px: float, length_px: float) -> Scale:
    low = math.floor(math.log10(min(values, default=1)))
    high = math.ceil(math.log10(max(values, default=1)))
    return Scale(start_px, length_px, low, max(high, low + 1))


def picture(width_px: float, height_px: float, parts: Iterable[str]) -> str:
    """An SVG picture on a ground of its own, which follows the reader's choice of light or dark."""
    dark = " ".join(
        f'[{name}="{light}"] {{ {name}: {dark}; }}'
        for light, dark in _IN_THE_DARK.items()
        for name in ("fill", "stroke")
    )
    size = f'viewBox="0 0 {width_px} {height_px}" width="{width_px}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif">',
        f"<style>@media (prefers-color-scheme: dark) {{ {dark} }}</style>",
        f'<rect width="{width_px}" height="{height_px}" fill="{PAPER}"/>',
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def text(
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


def line(x1: float, y1: float, x2: float, y2: float, colour: str, *, width: float = 1) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        f' stroke="{colour}" stroke-width="{width:g}"/>'
    )


def dot(x: float, y: float, colour: str, *, hollow: bool = False) -> str:
    fill = PAPER if hollow else colour
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="{colour}"'
        ' stroke-width="1.5"/>'
    )


def short(value: float) -> str:
    """Three digits that count, and never an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def time_text(us: float) -> str:
    for unit, size in (("s", 1e6), ("ms", 1e3)):
        if us >= size:
            return f"{short(us / size)} {unit}"
    return f"{short(us)} µs"

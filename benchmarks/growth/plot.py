"""A series as a picture: ours and the floor over the number of messages, both logarithmic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from benchmarks.growth.series import Point
from benchmarks.svg import (
    FAINT,
    FLOOR,
    OURS,
    QUIET,
    Scale,
    dot,
    line,
    picture,
    scale_of,
    short,
    text,
)

WIDTH_PX, HEIGHT_PX = 620, 320
LEFT_PX, TOP_PX, ACROSS_PX, DOWN_PX = 72, 76, 330, 190


def drawn(points: Sequence[Point]) -> str:
    """An SVG picture of the points of one series."""
    series = points[0].series
    values = [*(point.value for point in points), *(point.floor for point in points)]
    across = scale_of([point.messages for point in points], LEFT_PX, ACROSS_PX)
    up = scale_of(values, TOP_PX + DOWN_PX, -DOWN_PX)
    parts = [
        text(12, 24, series.title, size=15, weight="600"),
        text(12, 44, f"floor: {series.floor_is}; less is better", colour=QUIET),
        *_grid(across, up, points),
        *_curve(across, up, points, floor=True),
        *_curve(across, up, points, floor=False),
        *_ends(up, points),
    ]
    return picture(WIDTH_PX, HEIGHT_PX, parts)


def _grid(across: Scale, up: Scale, points: Sequence[Point]) -> Iterator[str]:
    bottom, right = TOP_PX + DOWN_PX, LEFT_PX + ACROSS_PX
    for value in up.decades():
        y = up.at(value)
        yield line(LEFT_PX, y, right, y, FAINT)
        yield text(LEFT_PX - 8, y + 4, points[0].series.text(value), anchor="end", size=10)
    for value in across.decades():
        x = across.at(value)
        yield line(x, TOP_PX, x, bottom, FAINT)
        yield text(x, bottom + 16, f"{value:,.0f}", anchor="middle", size=10)
    middle = LEFT_PX + ACROSS_PX / 2
    yield text(middle, bottom + 36, "messages of about 600 bytes", anchor="middle", colour=QUIET)


def _curve(across: Scale, up: Scale, points: Sequence[Point], *, floor: bool) -> Iterator[str]:
    colour = FLOOR if floor else OURS
    at = [(across.at(each.messages), up.at(each.floor if floor else each.value)) for each in points]
    for one, other in pairwise(at):
        yield line(*one, *other, colour, width=2)
    for x, y in at:
        yield dot(x, y, colour, hollow=floor)


def _ends(up: Scale, points: Sequence[Point]) -> Iterator[str]:
    """What the curves are, beside their ends, and what they end with."""
    last = points[-1]
    ours, floor = up.at(last.value), up.at(last.floor)
    apart = max(0.0, 30 - abs(ours - floor)) / 2
    shift = apart if ours > floor else -apart
    x = LEFT_PX + ACROSS_PX + 12
    said = f"{last.series.text(last.value)}, {short(last.ratio)} × floor"
    yield text(x, ours + 4 + shift, f"Perdure: {said}", colour=OURS, size=11)
    yield text(x, floor + 4 - shift, f"floor: {last.series.text(last.floor)}", size=11)

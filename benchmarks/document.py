"""The marked sections of a document that are written by a run, and by nobody else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Marks:
    """What encloses a section: lines that a reader of the page does not see."""

    begin: str
    end: str


PEERS = Marks(
    "<!-- peers: written by `make bench-peers ARGS=--write` -->",
    "<!-- peers: end -->",
)
GROWTH = Marks(
    "<!-- growth: written by `make bench-growth ARGS=--write` -->",
    "<!-- growth: end -->",
)


def rewritten(text: str, section: str, marks: Marks) -> str:
    """`text` with `section` between its two marks.

    Raises:
        ValueError: the marks are not there once each, in their order.
    """
    before, found, rest = text.partition(marks.begin)
    _, closed, after = rest.partition(marks.end)
    if not found or not closed or marks.begin in rest or marks.end in before + after:
        raise ValueError(f"the document needs {marks.begin!r} and then {marks.end!r}, once each")
    return f"{before}{marks.begin}\n\n{section.strip()}\n\n{marks.end}{after}"


def write(document: Path, section: str, marks: Marks, pictures: dict[Path, str]) -> None:
    """Renew a section of `document`, and the pictures that it shows."""
    text = rewritten(document.read_text("utf-8"), section, marks)
    for path, svg in pictures.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(svg, "utf-8")
    document.write_text(text, "utf-8")

"""The marked section of a document that is written by a run, and by nobody else."""

from __future__ import annotations

from pathlib import Path

BEGIN = "<!-- peers: written by `make bench-peers ARGS=--write` -->"
END = "<!-- peers: end -->"


def rewritten(text: str, section: str) -> str:
    """`text` with `section` between its two marks.

    Raises:
        ValueError: the marks are not there once each, in their order.
    """
    before, found, rest = text.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed or BEGIN in rest or END in before + after:
        raise ValueError(f"the document needs {BEGIN!r} and then {END!r}, once each")
    return f"{before}{BEGIN}\n\n{section.strip()}\n\n{END}{after}"


def write(document: Path, section: str, picture: Path, svg: str) -> None:
    """Renew the section of `document`, and the picture that it shows."""
    shown = f"![Perdure beside other libraries]({picture.name})\n\n{section}"
    text = rewritten(document.read_text("utf-8"), shown)
    picture.write_text(svg, "utf-8")
    document.write_text(text, "utf-8")

"""The figures as a table and as JSON, with what they were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

import perdure
from benchmarks.figure import Figure

VERDICTS = {True: "[green]met[/]", False: "[red]not reached[/]", None: "—"}


def about(directory: Path, *, quick: bool, command: str) -> dict[str, str]:
    """What the figures depend on besides the code, in general terms."""
    import apsw

    return {
        "command": command,
        "mode": "quick: proves that it runs, its figures mean nothing" if quick else "full",
        "machine": f"{platform.system()}, {platform.machine()}, {os.cpu_count()} CPUs",
        "load": _load(),
        "file system": _filesystem(directory),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "perdure": perdure.__version__,
        "sqlite": f"{apsw.sqlite_lib_version()} (apsw {apsw.apsw_version()})",
    }


def _load() -> str:
    """How busy the machine is with others' work before the run."""
    if not hasattr(os, "getloadavg"):
        return "unknown"
    each = os.getloadavg()[0] / (os.cpu_count() or 1)
    shared = "; others were at work, so these figures are not this library's" if each > 0.5 else ""
    return f"{each:.1f} per CPU before the run{shared}"


def _filesystem(directory: Path) -> str:
    """Type of the file system that holds `directory`, where the system tells."""
    mounts = Path("/proc/mounts")
    if not mounts.exists():
        return "unknown"
    held_by = [Path("/"), *directory.resolve().parents, directory.resolve()]
    lines = mounts.read_text().splitlines()
    kinds = {Path(where): kind for _, where, kind, *_ in map(str.split, lines)}
    return max((len(str(p)), kinds[p]) for p in held_by if p in kinds)[1]


def as_json(figures: dict[str, list[Figure]], told: dict[str, str]) -> dict[str, Any]:
    return {
        "about": told,
        "benchmarks": {
            name: [figure.as_json() for figure in each] for name, each in figures.items()
        },
    }


def print_table(console: Console, figures: dict[str, list[Figure]], told: dict[str, str]) -> None:
    table = Table(title="Perdure beside its floors", title_justify="left")
    table.add_column("figure", ratio=3)
    for name in ("Perdure", "floor"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("goal", ratio=2)
    table.add_column("verdict", ratio=1)
    notes: list[str] = []
    for each in figures.values():
        for figure in each:
            table.add_row(*_row(figure, notes))
        table.add_section()
    console.print(table)
    for number, note in enumerate(notes, 1):
        console.print(f"{number}  {note}", highlight=False)
    for name, value in told.items():
        console.print(f"{name}: {value}", highlight=False)
    judged = [figure.met for each in figures.values() for figure in each if figure.goal]
    console.print(f"{judged.count(True)} of {len(judged)} goals met", highlight=False)


def _row(figure: Figure, notes: list[str]) -> tuple[str, ...]:
    said = f"floor: {figure.floor_is}" + (f"; {figure.note}" if figure.note else "")
    if said not in notes:
        notes.append(said)
    mark = notes.index(said) + 1
    goal = figure.goal.text(figure.unit) if figure.goal else "report only"
    return (
        f"{figure.what} [dim]({mark})[/]",
        f"{digits(figure.value)} {figure.unit}",
        f"{digits(figure.floor)} {figure.unit}",
        f"{figure.ratio:.2f}",
        goal,
        VERDICTS[figure.met],
    )


def digits(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 1 else f"{value:.1f}"

"""`python -m benchmarks.growth`: one conversation as it grows: a table, and plots."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from benchmarks.document import GROWTH, write
from benchmarks.growth.plot import drawn
from benchmarks.growth.series import ALL, Point, grown
from benchmarks.growth.table import markdown, print_table
from benchmarks.measure import Run
from benchmarks.report import about

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "benchmarks.md"
PICTURES = ROOT / "docs" / "plots"
WIDTH = 120


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.write and options.quick:
        print("--write keeps what a full run measured: no --quick", file=sys.stderr)
        return 2
    where = options.dir or ROOT / "build"
    where.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="growth-", dir=where) as made:
        command = f"python -m benchmarks.growth{' --quick' if options.quick else ''}"
        told = about(Path(made), quick=options.quick, command=command)
        with Console(stderr=True).status("a conversation grows"):
            points = grown(Run(options.quick, Path(made)))
    print_table(Console(width=None if sys.stdout.isatty() else WIDTH), points, told)
    if options.json:
        found = {"about": told, "points": [point.as_json() for point in points]}
        options.json.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    if options.write:
        keep(points, told, DOCUMENT, PICTURES)
    return 0


def keep(points: list[Point], told: dict[str, str], document: Path, directory: Path) -> None:
    """Renew the section of `document`, and the plots in `directory` that it shows."""
    pictures = {
        directory / f"{series.name}.svg": drawn([each for each in points if each.series is series])
        for series in ALL
    }
    paths = [path.relative_to(document.parent) for path in pictures]
    write(document, markdown(points, told, paths), GROWTH, pictures)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.growth",
        description="What a conversation costs at 100 to 100,000 messages, beside floors.",
    )
    parser.add_argument("--quick", action="store_true", help="few messages: proves that it runs")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the points there too")
    parser.add_argument(
        "--write", action="store_true", help="renew docs/benchmarks.md and docs/plots/"
    )
    parser.add_argument(
        "--dir",
        type=Path,
        help="on which disk to measure: a directory to work in (default: build/)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""`python -m benchmarks`: run them and print each figure beside its floor."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console

from benchmarks.catalogue import BENCHMARKS
from benchmarks.measure import Run
from benchmarks.report import about, as_json, print_table

ROOT = Path(__file__).resolve().parent.parent
RECORDED = ROOT.parent / "shared" / "data" / "airline-trajectories.jsonl.gz"
WIDTH = 120


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    if options.list:
        for name, (_, what) in BENCHMARKS.items():
            console.print(f"{name:14} {what}", highlight=False)
        return 0
    unknown = set(options.names) - BENCHMARKS.keys()
    if unknown:
        print(f"no such benchmark: {', '.join(sorted(unknown))}; see --list", file=sys.stderr)
        return 2
    figures, took = {}, {}
    status = Console(stderr=True)
    where = options.dir or ROOT / "build"
    where.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=where) as directory:
        run = Run(options.quick, Path(directory), _data(options.data))
        told = about(run.directory, quick=run.quick, command=_command(options))
        for name in options.names or BENCHMARKS:
            benchmark, what = BENCHMARKS[name]
            began = time.perf_counter()
            with status.status(f"{name}: {what}"):
                figures[name] = benchmark(run)
            took[name] = time.perf_counter() - began
    told["took"] = _took(took)
    print_table(console, figures, told)
    if options.json:
        options.json.write_text(json.dumps(as_json(figures, told), indent=2) + "\n", "utf-8")
    return 0


def _took(seconds: dict[str, float]) -> str:
    each = ", ".join(f"{name} {took:.0f}" for name, took in seconds.items())
    return f"{sum(seconds.values()) / 60:.1f} minutes; seconds: {each}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Perdure's figures, each beside a floor measured in the same run.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these (see --list)")
    parser.add_argument("--list", action="store_true", help="name the benchmarks and stop")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: proves that they run")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--dir",
        type=Path,
        help="on which disk to measure: a directory to work in (default: build/)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        help="conversations, a gzipped line of JSON each (default: PERDURE_BENCH_DATA)",
    )
    return parser


def _data(option: Path | None) -> Path | None:
    """Recorded conversations: those asked for, else those beside the checkout, else none."""
    asked = option or os.environ.get("PERDURE_BENCH_DATA")
    if asked:
        return Path(asked)
    return RECORDED if RECORDED.exists() else None


def _command(options: argparse.Namespace) -> str:
    flags = ["--quick"] if options.quick else []
    return " ".join(["python -m benchmarks", *options.names, *flags])


if __name__ == "__main__":
    sys.exit(main())

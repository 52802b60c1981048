"""One library with so many messages, each step in a process of its own, so that none ends the run.

Saved in one process and closed; weighed on disk; then loaded by new processes, one after another.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.messages import messages, packed
from benchmarks.peers.catalogue import ENTRIES
from benchmarks.peers.worker import KEPT, RESULT

ROOT = Path(__file__).resolve().parents[2]
REASON_CHARS_MAX = 160
QUIET = {
    # Nobody is to be told of these runs, and no library is to look for someone to tell.
    "DO_NOT_TRACK": "1",
    "LANGSMITH_TRACING": "false",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "OTEL_SDK_DISABLED": "true",
}


class Failed(Exception):
    """There is no figure; the message says why."""


@dataclass(frozen=True, slots=True)
class Measured:
    save_p50_us: float
    save_p99_us: float
    saves_timed: int
    """How many of the last saves the percentiles are of."""
    floor_p50_us: float
    """A bare synced insert, in turns with those saves: what the disk took in the same moments."""
    disk_bytes: int
    """Every file there was after the process that saved had closed the conversation and ended."""
    raw_bytes: int
    """The same messages as msgpack."""
    load_ms: float
    """Open and read it all in a new process, its imports apart."""
    mode: str

    @property
    def times_floor(self) -> float:
        return self.save_p50_us / self.floor_p50_us

    @property
    def times_raw(self) -> float:
        return self.disk_bytes / self.raw_bytes


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    name: str
    messages: int
    result: Measured | str
    """The figures, or why there are none."""

    def as_json(self) -> dict[str, Any]:
        entry = ENTRIES[self.name]
        told = {
            "name": self.name,
            "title": entry.title,
            "messages": self.messages,
            "versions": entry.versions(),
            "caveat": entry.caveat,
        }
        if isinstance(self.result, str):
            return told | {"failure": self.result}
        ratios = {name: getattr(self.result, name) for name in ("times_floor", "times_raw")}
        return told | asdict(self.result) | ratios


def trial(name: str, count: int, where: Path, *, loads: int, limit_s: float) -> Row:
    """Measure `name` with `count` messages in a new directory below `where`, which is then removed.

    `loads` processes load it, and the median counts; each process may take `limit_s`.
    """
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=where))
    try:
        return Row(name, count, _measured(name, count, directory, loads, limit_s))
    except Failed as failed:
        return Row(name, count, str(failed))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _measured(name: str, count: int, directory: Path, loads: int, limit_s: float) -> Measured:
    saved = _process("save", name, directory, count, limit_s)
    disk_bytes = sum(
        file.stat().st_size for file in (directory / KEPT).rglob("*") if file.is_file()
    )
    times = [_process("load", name, directory, count, limit_s)["load_ms"] for _ in range(loads)]
    return Measured(
        **saved,
        disk_bytes=disk_bytes,
        raw_bytes=sum(len(packed(message)) for message in messages(count)),
        load_ms=median(times),
    )


def _process(task: str, name: str, directory: Path, count: int, limit_s: float) -> dict[str, Any]:
    worker = [sys.executable, "-m", "benchmarks.peers.worker"]
    path = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    try:
        ended = subprocess.run(
            [*worker, task, ENTRIES[name].where, str(directory), str(count)],
            check=False,
            cwd=directory,
            env=os.environ | QUIET | {"PYTHONPATH": os.pathsep.join(filter(None, path))},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=limit_s,
            text=True,
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"{task}: not done within {limit_s:g} s") from None
    if ended.returncode != 0:
        raise Failed(_reason(task, ended.stderr, ended.returncode, directory))
    result: dict[str, Any] = json.loads((directory / RESULT).read_text("utf-8"))
    return result


def _reason(task: str, said: str, code: int, directory: Path) -> str:
    """The last thing a process said, without the paths of this machine."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = lines[-1] if lines else f"ended with {code}"
    if last.startswith("ModuleNotFoundError: "):
        return f"not installed ({last.partition(': ')[2]})"
    for path in (str(directory), str(ROOT), str(Path.home())):
        last = last.replace(path, "…")
    return f"{task}: {last}"[:REASON_CHARS_MAX]

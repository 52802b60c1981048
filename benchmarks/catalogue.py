"""The benchmarks by name, in the order in which they run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from benchmarks.asyncio_saves import save_async
from benchmarks.branching import branches, merge
from benchmarks.disk import disk
from benchmarks.editing import edit_costs, plan_edits
from benchmarks.figure import Figure
from benchmarks.flat import list_length, state_size
from benchmarks.fleet import fleet
from benchmarks.keyed import keyed
from benchmarks.longrun import worst_save
from benchmarks.many_branches import many_branches
from benchmarks.measure import Run
from benchmarks.memory import window_memory
from benchmarks.merging import merging
from benchmarks.opening import open_long
from benchmarks.reading import load, open_small, reopen
from benchmarks.resuming import resuming
from benchmarks.saves import save_full, save_normal
from benchmarks.secrets_found import secrets_found
from benchmarks.startup import first_save, import_time
from benchmarks.steps import steps
from benchmarks.threads import threads, threads_slow_sync
from benchmarks.trajectories import trajectories
from benchmarks.typed import typed
from benchmarks.upkeep import upkeep
from benchmarks.verifying import verifying
from benchmarks.wal import wal

Benchmark: TypeAlias = Callable[[Run], list[Figure]]

BENCHMARKS: dict[str, tuple[Benchmark, str]] = {
    "save-full": (save_full, "one 600-byte message saved, surviving a power cut"),
    "save-normal": (save_normal, "the same, surviving the death of the process"),
    "save-async": (save_async, "the same under asyncio, and how long the loop is held"),
    "threads": (threads, "16 threads on 16 states of one store"),
    "threads-slow": (threads_slow_sync, "the same on a disk whose sync takes 2 ms more"),
    "state-size": (state_size, "a save on a state of 10 MB"),
    "list-length": (list_length, "a save onto 100,000 messages"),
    "wal": (wal, "how large the write-ahead log gets"),
    "upkeep": (upkeep, "saves, and an event loop, beside maintenance"),
    "import": (import_time, "import perdure"),
    "first-save": (first_save, "fresh process to first durable save"),
    "open": (open_small, "open and read a small state"),
    "reopen": (reopen, "open a long state, for the first time and again"),
    "open-long": (open_long, "open 100,000 messages at their end, beside 1,000"),
    "keyed": (keyed, "what a key adds to a save, and a load of 10,000 messages with one"),
    "load": (load, "load 10,000 messages, at worst too"),
    "window-memory": (window_memory, "memory that a window of a state of 1 GB takes"),
    "plan-edits": (plan_edits, "1,000 edits of a plan of 1 MB: what is written in all"),
    "typed": (typed, "what a schema costs: a field of one of 10,000 items, saved and read"),
    "edit-costs": (edit_costs, "pages that a snapshot writes after one edit"),
    "worst-save": (worst_save, "the slowest of 100,000 saves"),
    "branches": (branches, "fork, rollback, undo and promotion, short and long"),
    "many-branches": (many_branches, "what 10,000 forks, and 10,000 rollbacks, leave behind"),
    "merge": (merge, "two points compared, and two branches merged, of 100,000 messages"),
    "merging": (merging, "two processes saving to one state at once, merging what the other saved"),
    "fleet": (fleet, "10,000 small states migrated to a new schema, each atomically"),
    "resuming": (resuming, "an agent's briefing, and a fingerprint of its files"),
    "steps": (steps, "a step of a task beside its save, and finished ones found again"),
    "secrets": (secrets_found, "what looking for secrets adds to a save, and to a reading"),
    "verifying": (verifying, "100,000 checkpoints verified"),
    "trajectories": (trajectories, "conversations, every message a checkpoint: time and disk"),
    "disk": (disk, "the same on disk, once maintenance is through"),
}

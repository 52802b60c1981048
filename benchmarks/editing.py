"""What edits in place cost: of a plan, all that is written; of long lists and maps, a snapshot."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import perdure
from benchmarks.figure import Figure, Goal
from benchmarks.floor import disk_bytes
from benchmarks.measure import MEGABYTE, Run
from benchmarks.messages import message, messages, packed
from benchmarks.written import DISK, CountingBackend, Written, counting_disk, see_to
from perdure import limits

KEY = "bench/edits"
KILOBYTE = 1e3
PLAN_GOAL = Goal(value_max=3)
PAGES_MAX = 8
"""What "a few pages and their path" is taken for."""

_Edits: TypeAlias = dict[str, Callable[[Any], None]]


def plan_edits(run: Run) -> list[Figure]:
    """One status field at a time: in the order of the plan, and all over it."""
    count, edits = run.size(1_550, 50), run.size(1_000, 100)
    in_order = [number % count for number in range(edits)]
    choose = random.Random(3)
    scattered = [choose.randrange(count) for _ in range(edits)]
    return [
        *_plan_edited(run, count, in_order, "in order"),
        *_plan_edited(run, count, scattered, "anywhere"),
    ]


def _plan_edited(run: Run, count: int, edited: list[int], where: str) -> Iterator[Figure]:
    plan = [{"task": message(number)["content"], "status": "open"} for number in range(count)]
    plan_bytes, path = len(packed(plan)), run.path("plan")
    with counting_disk() as disk:
        backend = CountingBackend(path, vfs=DISK)
        with perdure.Store(backend, durability="process", maintenance="off") as store:
            _keep(store, "plan", plan)
        size, before, disk_before = disk_bytes(path), backend.written, dict(disk)
        backend = CountingBackend(path, vfs=DISK, written=before)
        with perdure.Store(backend, durability="process", maintenance="off") as store:
            _edit_each(store, edited)
            store.maintain(KEY)
        written = backend.written.since(before)
    log, file = (disk[kind] - disk_before[kind] for kind in ("log", "file"))
    in_file = (
        f"{log / len(edited) / KILOBYTE:.1f} kB an edit; and {file / MEGABYTE:.1f} MB to the file"
    )
    for name, of, goal, note in (
        ("records, packs and pages written", written.content, PLAN_GOAL, written.by_kind()),
        ("file and log grew", disk_bytes(path) - size, PLAN_GOAL, "maintained, closed"),
        ("SQLite wrote to its log", log, None, in_file),
    ):
        yield Figure(
            f"{len(edited):,} edits of a plan of {plan_bytes / MEGABYTE:.2f} MB, {where}: {name}",
            "MB",
            of / MEGABYTE,
            plan_bytes / MEGABYTE,
            "the plan once, as msgpack",
            goal,
            note,
        )


def _keep(store: perdure.Store, name: str, value: Any) -> None:
    """A section, and a snapshot of it: of the newest checkpoint but one."""
    with store.open(KEY) as session:
        session.state[name] = value
        session.save()
        session.state["note"] = "begun"
    store.maintain(KEY)


def _edit_each(store: perdure.Store, edited: list[int]) -> None:
    """One save each, with maintenance as soon as it is due: of an agent that takes its time."""
    with store.open(KEY) as session:
        for turn, number in enumerate(edited):
            session.state["plan"][number]["status"] = f"done in turn {turn}"
            session.save()
            see_to(store, KEY)


def edit_costs(run: Run) -> list[Figure]:
    """The pages that a snapshot writes after one edit of something long."""
    many = messages(run.size(100_000, 2_000))
    by_turn = {f"turn {each['turn']}": each for each in many}
    return [
        *_snapshots(run, f"{len(many):,} items", many, _LIST_EDITS),
        *_snapshots(run, f"{len(many):,} map entries", by_turn, _MAP_EDITS),
    ]


def _snapshots(run: Run, what: str, content: Any, edits: _Edits) -> Iterator[Figure]:
    backend = CountingBackend(run.path("edits"))
    with perdure.Store(backend, durability="process", maintenance="off") as store:
        _keep(store, "long", content)
        whole = backend.written
        for name, edit in edits.items():
            written = _snapshot_after(store, backend, edit)
            yield Figure(
                f"snapshot of {what} after {name}",
                "pages",
                written.pages_count,
                whole.pages_count,
                "all pages of it, when it was new",
                Goal(value_max=PAGES_MAX),
                f"{written.pages / KILOBYTE:.1f} of {whole.pages / KILOBYTE:,.0f} kB",
            )


def _snapshot_after(
    store: perdure.Store, backend: CountingBackend, edit: Callable[[Any], None]
) -> Written:
    """One edit, and as many saves of next to nothing as make a snapshot due."""
    with store.open(KEY) as session:
        edit(session.state["long"])
        session.save()
        for number in range(limits.tail_records_max + 1):
            session.state["note"] = number
            session.save()
    before = backend.written
    store.maintain(KEY)
    return backend.written.since(before)


def _edit_middle(listed: Any) -> None:
    listed[len(listed) // 2]["content"] = "changed"


def _insert_middle(listed: Any) -> None:
    listed.insert(len(listed) // 2, message(1))


def _append(listed: Any) -> None:
    listed.append(message(2))


def _cut_front(listed: Any) -> None:
    del listed[: len(listed) // 10]


def _edit_entry(entries: Any) -> None:
    entries[f"turn {len(entries) // 2}"]["content"] = "changed"


def _add_entry(entries: Any) -> None:
    entries["new"] = message(3)


def _remove_entry(entries: Any) -> None:
    del entries[f"turn {len(entries) // 3}"]


_LIST_EDITS: _Edits = {
    "an edit in the middle": _edit_middle,
    "an insertion there": _insert_middle,
    "an append": _append,
    "a cut of the first tenth": _cut_front,
}
_MAP_EDITS: _Edits = {
    "an edit in the middle": _edit_entry,
    "a new entry": _add_entry,
    "a removal": _remove_entry,
}

"""`perdure tasks`: what is to be done, and how far it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from perdure.cli.context import MAIN, examples, gives_json, on_branch, on_store, opened, settings
from perdure.cli.documents import document
from perdure.cli.output import print_json, say, table
from perdure.cli.words import iso, safe
from perdure.core.json_forms import encode

if TYPE_CHECKING:
    from perdure.agent.children import Child

MARKS = {
    "done": "x",
    "running": ">",
    "waiting": "?",
    "failed": "!",
    "abandoned": "-",
    "blocked": "#",
}
"""By status, what stands before a task in a graph; a space before one that can be begun."""


@click.command(
    epilog=examples(
        "tasks support/alice", "tasks support/alice --graph", "tasks support/alice --children"
    )
)
@click.argument("key")
@click.option("--graph", is_flag=True, help="Show what comes after what.")
@click.option("--children", is_flag=True, help="Show the states of sub-agents too, as they stand.")
@on_branch
@on_store
@gives_json
def tasks(key: str, graph: bool, children: bool, branch: str | None) -> None:
    """Print the tasks of the state KEY, each after what it comes after, and how far they are.

    A task is blocked if it comes after one that failed, waits, was abandoned or is not there.
    """
    from perdure.agent.plan import after_of, ordered, progress, statuses, tasks_in

    with opened(key) as store, store.open(key, branch=branch or MAIN, must_exist=True) as session:
        found = tasks_in(session)
        how, after, order = statuses(found), after_of(found), ordered(found)
        plain = {name: found[name].plain() for name in order}
        told = progress(found)
        linked = session.children.all() if children else []
    if settings().json:
        found = {"progress": document(told), "tasks": _documents(plain, how)}
        print_json(
            {**found, "children": [document(each) for each in linked]} if children else found
        )
        return
    if graph:
        for line in drawn(order, after, how):
            say(safe(line))
    elif plain:
        table(
            ("task", "status", ">attempts", ">steps", "ended"),
            [_row(name, record, how[name]) for name, record in plain.items()],
        )
    say(str(told))
    if linked:
        table(
            ("child", "status", ">tasks", ">questions", ">effects", "state"),
            [_child_row(each) for each in linked],
        )


def _child_row(child: Child) -> tuple[str, ...]:
    left = (child.tasks, child.questions, child.effects)
    return (child.name, child.status, *(str(each or "") for each in left), child.key)


def _row(name: str, record: dict[str, Any], how: str) -> tuple[str, ...]:
    ended = iso(record["ended"]) if "ended" in record else ""
    steps = str(len(record.get("steps", {})) or "")
    return name, how, str(record.get("attempts", 0)), steps, ended


def _documents(plain: dict[str, dict[str, Any]], how: dict[str, str]) -> list[Any]:
    return [
        {"name": name, "blocked": how[name] == "blocked", "record": encode(record)}
        for name, record in plain.items()
    ]


def drawn(order: list[str], after: dict[str, list[str]], how: dict[str, str]) -> Iterator[str]:
    """A graph as lines: a task below the last of those that it comes after; others it names.

    Example:
        >>> list(drawn(["a", "b"], {"a": [], "b": ["a"]}, {"a": "done", "b": "pending"}))
        ['[x] a', ' └─ [ ] b']
    """
    below: dict[str | None, list[str]] = {}
    place = {name: at for at, name in enumerate(order)}
    for name in order:
        known = [each for each in after[name] if each in place]
        below.setdefault(max(known, key=place.__getitem__, default=None), []).append(name)
    stack = [(name, "", "", "") for name in reversed(below.get(None, []))]
    while stack:
        name, indent, branch, deeper = stack.pop()
        yield f"{indent}{branch}{_titled(name, after[name], place, below, how[name])}"
        inner = below.get(name, [])
        for at, each in reversed(list(enumerate(inner))):
            is_last = at == len(inner) - 1
            indented = indent + deeper
            stack.append(
                (each, indented, " └─ " if is_last else " ├─ ", "    " if is_last else " │  ")
            )


def _titled(
    name: str, after: list[str], place: dict[str, int], below: dict[str | None, list[str]], how: str
) -> str:
    others = [each for each in after if name not in below.get(each, [])]
    missing = [f"{each} (not there)" if each not in place else each for each in others]
    told = f"  after {', '.join(missing)}" if missing else ""
    status = "" if how in ("done", "pending") else f"  {how}"
    return f"[{MARKS.get(how, ' ')}] {name}{status}{told}"

"""What an agent told while it lived, and what its store must therefore hold."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Step = tuple[str, str]
"""A task and the name of a step of it."""

CONTENT = ("findings", "decisions", "progress", "report")
"""The sections that say the same however often the agent was killed."""


@dataclass(slots=True)
class Witness:
    """The memory of one agent's supervisor, over all lives of that agent.

    It lives in the supervisor's process, which nobody kills, and knows only what came through the
    pipe: what was begun, and which saves had returned.
    """

    saved: dict[int, str] = field(default_factory=dict)
    """Ids of the acknowledged checkpoints, by number."""
    finished: set[Step] = field(default_factory=set)
    """Steps that need never be begun again."""
    starts: int = 0
    """Times any step was begun."""
    cut: int = 0
    """Steps that were under way when their process was killed, and had to be begun anew."""
    redone: list[Step] = field(default_factory=list)
    """Steps that were begun although they were finished. There must be none."""
    lost: list[str] = field(default_factory=list)
    """What was acknowledged and then missing. There must be nothing."""
    unanswered: int = 0
    """Saves that took effect although the process died before it could say so."""
    happened: int = 0
    """Actions on the world of unknown outcome that had happened, as the agent found out."""
    did_not: int = 0
    """Those that had not."""
    current: Step = ("", "")
    work_is_over: bool = False
    """Whether the agent said that nothing is left to do: a kill after that interrupts no work."""

    def hear(self, event: dict[str, Any]) -> None:
        """Take in one line of the agent's."""
        match event:
            case {"event": "start", "task": task, "step": step}:
                self.current = (task, step)
                self.starts += 1
                if self.current in self.finished:
                    self.redone.append(self.current)
            case {"event": "saved", "task": task, "step": step, "number": number, "id": id_}:
                self.saved[number] = id_
                self.finished.add((task, step))
            case {"event": "reconciled", "happened": happened}:
                self.happened += happened
                self.did_not += not happened
            case {"event": "finished"}:
                self.work_is_over = True

    def tasks_done(self) -> int:
        """How many modules are wholly audited."""
        return sum(step == "append" for _, step in self.finished)

    def compare(self, store_path: str, key: str) -> None:
        """Open the store anew and look for everything that was acknowledged."""
        from perdure import Store

        if not self.saved:
            return
        with Store(store_path) as store:
            kept = {each.number: each.id for each in store.history(key)}
            state = store.at(key, max(kept)).plain()
        self.lost += [
            f"checkpoint {number}" for number, id_ in self.saved.items() if kept.get(number) != id_
        ]
        done = steps_done(state)
        self.lost += [f"{step} of {task}" for task, step in sorted(self.finished - done)]
        self.cut += self.current not in done
        self.unanswered += len(done - self.finished)
        self.finished |= done


def steps_done(state: dict[str, Any]) -> set[Step]:
    """The steps that a state of the agent has behind it."""
    return {
        (name, "append" if "effect" in step else key)
        for name, task in state["perdure.tasks"].items()
        for key, step in task.get("steps", {}).items()
        if step["status"] == "done"
    }


def content(store_path: str, key: str, file: Path) -> dict[str, Any]:
    """What the agent found out, and what it did: without the times and the tries of its steps."""
    from perdure import Store

    with Store(store_path) as store:
        state = store.at(key, store.info(key).number).plain()
    plan = {
        name: {key: step.get("result") for key, step in task.get("steps", {}).items()}
        for name, task in state["perdure.tasks"].items()
    }
    found = {name: state.get(name) for name in CONTENT}
    return {"plan": plan, **found, "lines": lines_in(file)}


def lines_in(file: Path) -> list[str]:
    """The lines that the agent appended."""
    return file.read_text().splitlines() if file.exists() else []


def fingerprint(found: dict[str, Any]) -> str:
    """A short name for a content, equal for equal contents."""
    return hashlib.sha256(json.dumps(found, default=repr).encode()).hexdigest()[:16]


def place_for_store() -> Path:
    """`perdure-demo/` here, or a temporary directory where nothing can be written here.

    Raises:
        StoreUnavailable: something else has that name, or nothing can be written anywhere.
    """
    import os
    import tempfile

    from perdure import errors

    here = Path("perdure-demo")
    if os.path.lexists(here) and not here.is_dir():
        raise errors.StoreUnavailable(
            f"{here.absolute()} is no directory, and the demo keeps its store in one of that name: "
            "rename it, or run the demo in another directory."
        )
    try:
        here.mkdir(exist_ok=True)
        if os.access(here, os.W_OK):
            return here
    except OSError:
        pass  # as where this user may not write
    try:
        return Path(tempfile.mkdtemp(prefix="perdure-demo-"))
    except OSError as error:
        raise errors.StoreUnavailable(
            f"Nothing can be written here or in a temporary directory ({error.strerror}): run the "
            "demo in another directory, or name one for temporary files in TMPDIR."
        ) from error

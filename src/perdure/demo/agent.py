"""The demo's agent: audits a code base, module by module, and can be killed at any moment.

It is run as `python -m perdure.demo.agent STORE KEY ROOT`. Everything it knows is in its state: the
plan, with what each step found, findings, decisions, progress and, at the end, the report. And it
acts on the world: for each module it appends one line to a report file, which no store can take
back. Nothing here knows whether, when or how often it dies.

On standard output it tells its supervisor, one JSON object a line, what it begins, what is kept and
what it did to the file. That is the witness the store is compared with; the agent itself never
needs it.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perdure.demo.findings import Finding, examine, modules

if TYPE_CHECKING:
    from perdure import Session
    from perdure.agent import DidNotHappen, Effect, Happened, Task

STEPS = ("read", "examine", "decide", "append")
"""Each module's task, step by step. The last one acts on the world."""

WORTH_A_LOOK = 20
WORST_COUNT = 10


def report_file(store_path: str, key: str) -> Path:
    """Where the agent of a state appends its lines: beside the store."""
    return Path(store_path).with_name(f"{key.replace('/', '-')}.txt")


def tell(**event: Any) -> None:
    """One line for the supervisor, at once."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Agent:
    """One session of the audit: takes up what the state says is next until nothing is."""

    def __init__(self, session: Session, root: Path, file: Path) -> None:
        self.session = session
        self.state: Any = session.state
        self.root = root
        self.file = file

    def work(self) -> None:
        """Do whatever is not done yet, and report."""
        self.greet()
        with self.session.task("plan") as task:
            if not task.done:
                found = self.step(task, "list", partial(modules, self.root), self.begin)
                self.session.plan.add_missing({"name": each, "after": ["plan"]} for each in found)
                self.session.plan.add_missing([{"name": "report", "after": found}])
        for task in self.session.plan.work():
            with task:
                (self.report if task.name == "report" else self.audit)(task)
        tell(event="finished")

    def greet(self) -> None:
        """Tell what this session took up."""
        resumed = self.session.resumed
        if resumed is None:
            tell(event="new")
        else:
            tell(event="resumed", number=resumed.checkpoint.number, ended=resumed.ended)

    def step(
        self, task: Task, name: str, action: Callable[[], Any], apply: Callable[[Any], object]
    ) -> Any:
        """What a step found: now, or in an earlier session."""
        with Told(self.session, task.name, name) as told:
            return task.step(name, told.doing(action), apply=apply)

    # ---- a module -----------------------------------------------------------------------------

    def audit(self, task: Task) -> None:
        """Audit one module, and append a line on it to the file."""
        size = self.step(task, "read", partial(self.read, task.name), self.measured)
        found = self.step(
            task, "examine", partial(self.examine, task.name), partial(self.found, task.name)
        )
        verdict, why = self.step(
            task,
            "decide",
            partial(judge, len(found), size["lines"]),
            partial(self.decided, task.name),
        )
        line = f"{task.name}\t{verdict}\t{why}"
        with Told(self.session, task.name, "append") as told:
            task.options(
                key=f"line/{task.name}",
                reconcile=partial(self.look, task.name),
                apply=self.appended,
            ).effect("append", told.doing(partial(self.append, line)))

    def read(self, module: str) -> dict[str, int]:
        """Measure the module."""
        source = (self.root / module).read_bytes()
        return {"bytes": len(source), "lines": source.count(b"\n")}

    def examine(self, module: str) -> list[Finding]:
        """Parse it and tell what is wrong with it."""
        return examine((self.root / module).read_bytes())

    def append(self, line: str) -> int:
        """Append a line to the file, for good. Gives the place where it begins."""
        handle = os.open(self.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            place = os.lseek(handle, 0, os.SEEK_END)
            os.write(handle, f"{line}\n".encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        tell(event="acted")
        return place

    def look(self, module: str, effect: Effect) -> Happened | DidNotHappen:
        """Whether the line on a module is in the file: asked where nobody recorded it."""
        from perdure.agent import DidNotHappen, Happened

        place = place_in(self.file, module)
        tell(event="reconciled", task=module, happened=place is not None)
        return DidNotHappen() if place is None else Happened(place)

    # ---- what goes into the state with each step ------------------------------------------------

    def begin(self, found: list[str]) -> None:
        """Lay out everything that will be known."""
        self.session.goals.add(f"Audit {self.root}", id="audit")
        self.state["findings"] = []
        self.state["decisions"] = []
        self.state["progress"] = {"tasks": 0, "lines": 0, "findings": 0, "of": len(found)}

    def measured(self, size: dict[str, int]) -> None:
        """A module was read."""
        self.state["progress"]["lines"] += size["lines"]

    def found(self, module: str, findings: list[Finding]) -> None:
        """A module was examined."""
        self.state["findings"].extend({"module": module, **each} for each in findings)
        self.state["progress"]["findings"] += len(findings)

    def decided(self, module: str, verdict: tuple[str, str]) -> None:
        """It was decided what should be done about a module."""
        what, why = verdict
        self.state["decisions"].append({"module": module, "verdict": what, "why": why})

    def appended(self, place: int) -> None:
        """A module's line is in the file; with that it is done."""
        progress = self.state["progress"]
        progress["tasks"] += 1
        self.session.summary = (
            f"audited {progress['tasks']} of {progress['of']} modules, "
            f"{progress['findings']:,} findings"
        )

    # ---- the end --------------------------------------------------------------------------------

    def report(self, task: Task) -> None:
        """Sum it all up."""
        self.step(task, "sum up", self.summed_up, partial(self.state.__setitem__, "report"))
        self.session.goals.complete("audit")

    def summed_up(self) -> dict[str, Any]:
        """What was found in all modules."""
        progress = self.state["progress"]
        worst = Counter(each["module"] for each in self.state["findings"])
        return {
            "modules": progress["of"],
            "lines": progress["lines"],
            "findings": dict(
                Counter(each["kind"] for each in self.state["findings"]).most_common()
            ),
            "verdicts": dict(
                sorted(Counter(each["verdict"] for each in self.state["decisions"]).items())
            ),
            "worst": dict(
                sorted(worst.items(), key=lambda each: (-each[1], each[0]))[:WORST_COUNT]
            ),
        }


class Told:
    """Tells the supervisor of a step: when it is begun, and when what came of it is kept."""

    def __init__(self, session: Session, task: str, name: str) -> None:
        self._session = session
        self._at = {"task": task, "step": name}
        self._was_begun = False

    def __enter__(self) -> Told:
        return self

    def doing(self, action: Callable[[], Any]) -> Callable[[], Any]:
        """The action, which tells first that it is begun."""

        def told() -> Any:
            self._was_begun = True
            tell(event="start", **self._at)
            return action()

        return told

    def __exit__(self, kind: object, *_: object) -> None:
        saved = self._session.checkpoint
        if kind is None and self._was_begun and saved is not None:
            tell(event="saved", **self._at, number=saved.number, id=saved.id)


def place_in(file: Path, module: str) -> int | None:
    """Where in the file the line on a module begins; None: it has none."""
    place = 0
    for line in file.read_bytes().splitlines(keepends=True) if file.exists() else ():
        if line.startswith(f"{module}\t".encode()) and line.endswith(b"\n"):
            return place
        place += len(line)
    return None


def judge(findings: int, lines: int) -> tuple[str, str]:
    """What to do about a module, and why."""
    if not findings:
        return "leave", "nothing found"
    density = 1000 * findings / max(lines, 1)
    if density < WORTH_A_LOOK:
        return "note", f"{density:.1f} findings in 1000 lines"
    return "look closer", f"{density:.1f} findings in 1000 lines"


def main(store_path: str, key: str, root: str) -> None:
    """Be one life of the agent."""
    from perdure import Store

    with Store(store_path) as store, store.open(key) as session:
        Agent(session, Path(root), report_file(store_path, key)).work()


if __name__ == "__main__":
    main(*sys.argv[1:])

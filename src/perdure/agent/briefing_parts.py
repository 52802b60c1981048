"""What a briefing tells, part by part: each makes items from the records, first things first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias

import msgspec

from perdure import limits
from perdure.agent.children import Child
from perdure.agent.receipt import LossReceipt
from perdure.agent.records import DECISIONS, ENVIRONMENT, FACTS, GOALS, QUESTIONS
from perdure.core.abbreviate import abbreviate, count
from perdure.core.head import MAIN
from perdure.types import Resumed, SessionInfo

Telling: TypeAlias = Callable[[], str]
"""Makes the text of an item: only of what is shown, and there may be thousands."""

Record: TypeAlias = Mapping[str, Any]


class Tasks:
    """The tasks by their statuses, gone through once, and not one of them tracked for it."""

    def __init__(self, tasks: dict[str, Any], come: frozenset[str] = frozenset()) -> None:
        """Of these, `come` waited for what has come since."""
        self.count = len(tasks)
        self.come = come
        self._by_status: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for name, task in dict.items(tasks):
            self._by_status.setdefault(str(dict.get(task, "status")), []).append((name, task))
        stuck = {name for status in STUCK for name, _ in self.of(status)} - come
        self.blocked: list[tuple[str, list[str]]] = []
        """Those to be done that come after some nobody will go on with as things are, and these."""
        self.free: list[tuple[str, list[str]]] = []
        """The others that are to be done, and what they come after."""
        for name, task in self.of("pending"):
            after = list(list.__iter__(dict.get(task, "after", [])))
            behind = [each for each in after if each in stuck or each not in tasks]
            if behind:
                self.blocked.append((name, behind))
            else:
                self.free.append((name, after))

    def of(self, status: str) -> list[tuple[str, dict[str, Any]]]:
        """Those that have a status, by name, in their order."""
        return self._by_status.get(status, [])


STUCK = ("failed", "waiting", "abandoned")
"""What a task is that others cannot wait for to any avail."""


class Source(msgspec.Struct, frozen=True):
    """What a briefing is made from: the state, and nothing else."""

    records: Mapping[str, Any]
    """The sections of the agent's record, by name."""
    tasks: Tasks
    resumed: Resumed | None = None
    as_of: datetime | None = None
    """When the state was saved last: ages and staleness are as of then, not of now."""
    latest: Iterable[Any] = ()
    """The newest messages of the conversation, oldest first."""
    unknown: Iterable[tuple[str, datetime, str]] = ()
    """Effects with an unknown outcome: key, when it was claimed, by what."""
    receipt: LossReceipt | None = None
    children: Sequence[Child] = ()
    """All that were linked, as they stand."""
    answers: Mapping[str, tuple[Any, str, datetime]] = {}
    """Answers that the agent has not asked for yet, by question: what, by whom, when."""


Part: TypeAlias = Callable[[Source], Iterable[Telling]]


def when(time: datetime) -> str:
    """A time as a briefing has it: in UTC, to the second."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def line(text: Any, chars_max: int = limits.briefing_item_chars_max) -> str:
    """A text on one line, that long at most; what is more is told."""
    flat = re.sub(r"\s+", " ", text if isinstance(text, str) else abbreviate(text, chars_max))
    flat = flat.strip()
    more = len(flat) - chars_max
    return flat if more <= 0 else f"{flat[:chars_max].rstrip()} … ({count(more, 'character')} more)"


def told(text: str) -> Telling:
    """An item that is not long in the making."""
    return lambda: text


# ---- what for, and how far ------------------------------------------------------------------


def goals(source: Source) -> Iterator[Telling]:
    """The goals that are neither reached nor dropped."""
    for goal in source.records[GOALS].values():
        if goal.get("status") == "active":
            yield partial(line, goal["text"])


def instruction(source: Source) -> Iterator[Telling]:
    """What the user said last."""
    for message in reversed(list(source.latest)):
        text = said_by_user(message)
        if text:
            yield partial(line, text)
            return


def said_by_user(message: Any) -> str:
    """The text of a user's message, in the shapes that providers have; "" if it is none."""
    if not isinstance(message, Mapping) or message.get("role") != "user":
        return ""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, Mapping)]
    return " ".join(text for text in texts if isinstance(text, str))


def standing(source: Source) -> Iterator[Telling]:
    """Where it stopped, how the last session ended, and whether anything is missing."""
    resumed = source.resumed
    if resumed is None:
        yield told("This is the first session on this state.")
        return
    at, receipt = resumed.checkpoint, source.receipt
    label = f" ({line(at.label)})" if at.label else ""
    resumed_at = f"Resumed at checkpoint {at.number:,}{label} of {when(at.time)}"
    if receipt is not None:
        is_whole = not receipt.missing
        there = "everything that was acknowledged is present" if is_whole else "there are"
        yield told(f"{resumed_at}; {there}: {receipt}.")
        for missing in receipt.missing:
            yield partial(line, f"Missing: {missing}.", limits.briefing_missing_chars_max)
        if receipt.pruned:
            yield told(
                f"The history of {count(receipt.pruned, 'checkpoint')} was pruned: what they came "
                "to is there."
            )
    else:
        yield told(f"{resumed_at}.")
    yield partial(_last_session, resumed.session)
    for other in resumed.others:
        yield told(f"A session of {when(other.started)} never ended: {other.ended}.")


def _last_session(last: SessionInfo) -> str:
    error = f" ({last.error})" if last.error else ""
    saved = count(last.last - last.first + 1, "checkpoint")
    unsaved = f"; what it did after {when(last.last_saved)} it had not saved"
    return (
        f"The last session ended: {last.ended}{error}. It began {when(last.started)} and saved "
        f"{saved}{unsaved if last.ended == 'interrupted' else ''}."
    )


# ---- what stands open -----------------------------------------------------------------------


def unknown(source: Source) -> Iterator[Telling]:
    """Effects of which nobody knows whether they happened."""
    for key, claimed, about in source.unknown:
        yield told(
            f"{line(key)}: claimed {when(claimed)} by {line(about)}; find out whether it happened "
            "before anything else depends on it."
        )


def questions(source: Source) -> Iterator[Telling]:
    """What a person was asked and has not answered, and times that were waited for."""
    for name, question in source.records[QUESTIONS].items():
        if "answered" not in question and name not in source.answers:
            yield partial(_question, name, question)


def answered(source: Source) -> Iterator[Telling]:
    """What was answered while the agent was away."""
    for name, (value, by, at) in source.answers.items():
        yield partial(_answer, name, source.records[QUESTIONS][name], value, by, at)


def _answer(name: str, question: Record, value: Any, by: str, at: datetime) -> str:
    who = f" by {line(by)}" if by else ""
    asked, said = line(question.get("payload")), line(repr(value))
    return f"{line(name)}: {asked} was answered {said}{who} ({when(at)})"


def _question(name: str, question: Record) -> str:
    if "until" in question:
        return f"{line(name)}: until {when(question['until'])}"
    until = question.get("expires")
    expires = f", expires {when(until)}" if until is not None else ""
    where = f", to be answered in {line(question['where'])}" if "where" in question else ""
    payload = question.get("payload")
    what = "" if where and payload is None else f": {line(payload)}"
    return f"{line(name)}{what} (asked {when(question['asked'])}{expires}{where})"


def running(source: Source) -> Iterator[Telling]:
    """Tasks that were under way, or can go on, and the steps that they are through with."""
    for name, task in source.tasks.of("running"):
        yield partial(_running, name, task)
    for name, task in source.tasks.of("waiting"):
        if name in source.tasks.come:
            yield partial(_come, name, task)


def _running(name: str, task: Record) -> str:
    steps = task.get("steps") or {}
    done = [step for step, record in steps.items() if record.get("status") == "done"]
    shown = ", ".join(map(line, done[-limits.briefing_first_items :]))
    attempts = task.get("attempts", 1)
    again = f" (attempt {attempts})" if attempts > 1 else ""
    return f"{line(name)}{again}" + (f": done {shown}" if done else "")


def _come(name: str, task: Record) -> str:
    return f"{_running(name, task)}; what it waited for has come"


def children(source: Source) -> Iterator[Telling]:
    """Sub-agents that are not finished, as they stand, and how many are."""
    unfinished = [child for child in source.children if not child.is_finished]
    for child in unfinished:
        yield partial(_child, child)
    if source.children:
        ended = len(source.children) - len(unfinished)
        yield told(f"{ended:,} of {len(source.children):,} finished")


def _child(child: Child) -> str:
    ended = f"last session {child.ended}" if child.ended is not None else ""
    error = f" ({child.error})" if child.error else ""
    units = ("unfinished task", child.tasks), ("waiting question", child.questions)
    left = [count(number, unit) for unit, number in units if number]
    if child.effects:
        left.append(f"{count(child.effects, 'effect')} of unknown outcome")
    on = f" on {line(child.branch)}" if child.branch != MAIN else ""
    parts = [ended + error, *left, line(child.problem or ""), f"state {line(child.key)}{on}"]
    return f"{line(child.name)}: {child.status} ({'; '.join(filter(None, parts))})"


def failed(source: Source) -> Iterator[Telling]:
    """Tasks that failed."""
    for name, task in source.tasks.of("failed"):
        error = task.get("error") or {}
        yield partial(_pair, name, f"{error.get('type', 'error')}: {error.get('message', '')}")


def _pair(name: str, what: str) -> str:
    return f"{line(name)}: {line(what)}"


def blocked(source: Source) -> Iterator[Telling]:
    """Tasks that wait, and those that are behind one that waits or failed."""
    for name, task in source.tasks.of("waiting"):
        if name not in source.tasks.come:
            yield partial(_pair, name, _awaited(task))
    for name, behind in source.tasks.blocked:
        yield partial(_pair, name, "after " + ", ".join(behind))


def _awaited(task: Mapping[str, Any]) -> str:
    if task.get("effect"):
        return f"waits to know what became of {task['effect']}"
    return f"waits for {task['waits']}" if task.get("waits") else "waits"


def pending(source: Source) -> Iterator[Telling]:
    """Tasks that are still to be done, in the order of the plan."""
    for name, after in source.tasks.free:
        yield partial(_pending, name, after)


def _pending(name: str, after: list[str]) -> str:
    return line(name) + (f" (after {', '.join(map(line, after))})" if after else "")


def done(source: Source) -> Iterator[Telling]:
    """How much is done, and what was done last."""
    names = [name for name, _ in source.tasks.of("done")]
    if names:
        yield told(f"{len(names):,} of {count(source.tasks.count, 'task')}")
        for name in reversed(names):
            yield partial(line, name)


# ---- what is known --------------------------------------------------------------------------


def decisions(source: Source) -> Iterator[Telling]:
    """What was decided and why, the newest first."""
    made = sorted(source.records[DECISIONS].values(), key=lambda each: each["at"])
    for decision in reversed(made):
        yield partial(_decision, decision)


def _decision(decision: Record) -> str:
    because = decision.get("because")
    why = f", because {line(because)}" if because else ""
    return f"{line(decision['text'])}{why} ({when(decision['at'])})"


def stale(source: Source) -> Iterator[Telling]:
    """Facts that were to hold no longer than until now."""
    for name, fact in source.records[FACTS].items():
        if _is_stale(source, fact):
            yield partial(_fact, name, fact)


def facts(source: Source) -> Iterator[Telling]:
    """Facts that hold."""
    for name, fact in source.records[FACTS].items():
        if not _is_stale(source, fact):
            yield partial(_fact, name, fact)


def _is_stale(source: Source, fact: Record) -> bool:
    until = fact.get("until")
    return until is not None and source.as_of is not None and until <= source.as_of


def _fact(name: str, fact: Record) -> str:
    by, until = fact.get("source"), fact.get("until")
    parts = [when(fact["at"])]
    parts += [f"from {line(by)}"] if by else []
    parts += [f"valid until {when(until)}"] if until is not None else []
    return f"{line(name)}: {line(fact['value'])} ({', '.join(parts)})"


FILES = {"changed": "Changed", "appeared": "Appeared", "vanished": "Vanished", "env": "Variables"}


def surroundings(source: Source) -> Iterator[Telling]:
    """What changed around the agent while it was away."""
    changes = source.records[ENVIRONMENT].get("changes")
    if changes is None:
        return
    for what, title in FILES.items():
        names = changes.get(what) or ()
        if names:
            yield told(f"{title}: {_listed(names, changes.get(f'{what}_more', 0))}")
    if changes.get("git"):
        before, after = changes["git"]
        yield told(f"Repository: {_commit(before)} → {_commit(after)}")
    for name, (old, new) in (changes.get("packages") or {}).items():
        yield told(f"Package {line(name)}: {old or 'not there'} → {new or 'gone'}")


def _listed(names: Iterable[str], more: int) -> str:
    names = list(names)
    more += max(0, len(names) - limits.environment_named_max)
    shown = ", ".join(map(line, names[: limits.environment_named_max]))
    return shown + (f" and {count(more, 'other')}" if more else "")


def _commit(status: Record | None) -> str:
    if status is None:
        return "none"
    changed = f", {count(status['changed'], 'changed file')}" if status.get("changed") else ""
    return f"{str(status.get('commit'))[:7]} on {line(status.get('branch'))}{changed}"


PARTS: dict[str, Part] = {
    "Goal": goals,
    "Last instruction": instruction,
    "Where it stands": standing,
    "Effects with unknown outcome": unknown,
    "Answered meanwhile": answered,
    "Waiting for an answer": questions,
    "In progress": running,
    "Children": children,
    "Failed": failed,
    "Blocked": blocked,
    "Changed around it": surroundings,
    "Facts to check again": stale,
    "Decisions": decisions,
    "To do": pending,
    "Facts": facts,
    "Done": done,
}
"""The parts by their titles, the most important first."""

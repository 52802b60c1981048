"""Two versions of one schema on one state, in any order: each sees all that both ever wrote."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.evolution import Message, Newer, make_first, make_second

import perdure

TEXTS = st.text("ab ", max_size=3)
STATUSES = {"open": 1, "closed": 2}
FIRST, SECOND = make_first(), make_second()


class Facts:
    """What is true of a state, in no version's words."""

    def __init__(self) -> None:
        self.topic = self.notes = ""
        self.status, self.budget, self.is_newer = "open", 5, False
        self.messages: list[dict[str, Any]] = []

    def first(self) -> dict[str, Any]:
        """What the first version sees."""
        messages = [Message(each["by"], each["text"]) for each in self.messages]
        return {
            "topic": self.topic,
            "notes": self.notes,
            "status": self.status,
            "messages": messages,
        }

    def second(self) -> dict[str, Any]:
        """What the second version sees."""
        messages = [Newer(each["by"], each["text"]) for each in self.messages]
        return {
            "subject": self.topic,
            "budget": self.budget,
            "status": STATUSES[self.status],
            "messages": messages,
        }


class Versions(RuleBasedStateMachine):
    """Sessions of both versions, forks and rollbacks, against plain facts."""

    @initialize()
    def begin(self) -> None:
        self.store = perdure.Store("memory:", maintenance="off")
        self.branch, self.forks = "main", 0
        self.facts: dict[str, list[Facts]] = {}
        with self.store.open("a", schema=FIRST) as session:
            session.state.topic = session.state.notes = ""
            session.state.status = "open"
            session.state.messages = []
        self.facts["main"] = [Facts()]

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()

    def next(self) -> Facts:
        """The facts that the next save makes, to be edited."""
        return deepcopy(self.facts[self.branch][-1])

    def saved(self, facts: Facts) -> None:
        """Note what each checkpoint made since is to show."""
        newest = self.store.at("a", self.branch).checkpoint.number
        known = self.facts[self.branch]
        known += [deepcopy(known[-1]) for _ in range(newest - len(known) - 1)] + [facts]

    @rule(topic=TEXTS, notes=TEXTS, status=st.sampled_from(sorted(STATUSES)), by=TEXTS)
    def older_code(self, topic: str, notes: str, status: str, by: str) -> None:
        facts = self.next()
        with self.store.open("a", schema=FIRST, branch=self.branch) as session:
            state = session.state
            state.topic, state.notes, state.status = topic, notes, status
            state.messages.append(Message(by, topic))
        facts.topic, facts.notes, facts.status = topic, notes, status
        facts.messages.append({"by": by, "text": topic, "tokens": 0})
        self.saved(facts)

    @rule(subject=TEXTS, budget=st.integers(0, 9), status=st.sampled_from(sorted(STATUSES)))
    def newer_code(self, subject: str, budget: int, status: str) -> None:
        facts = self.next()
        with self.store.open("a", schema=SECOND, branch=self.branch) as session:
            session.state.subject, session.state.budget = subject, budget
            session.state.status = STATUSES[status]
            session.state.messages.append(Newer(subject, "new"))
            session.raw["messages"][-1]["tokens"] = budget
            session.save()
        facts.topic, facts.budget, facts.status, facts.is_newer = subject, budget, status, True
        facts.messages.append({"by": subject, "text": "new", "tokens": budget})
        self.saved(facts)

    @precondition(lambda self: len(self.facts[self.branch][-1].messages) > 1)
    @rule(data=st.data())
    def older_code_edits_messages(self, data: st.DataObject) -> None:
        facts = self.next()
        at = data.draw(st.integers(0, len(facts.messages) - 1))
        with self.store.open("a", schema=FIRST, branch=self.branch) as session:
            messages = session.state.messages
            messages[at].content += "!"
            messages.append(messages.pop(0))
            del messages[at - 1]
        facts.messages[at]["text"] += "!"
        moved = facts.messages.pop(0)
        # Edited and moved in one save, a message without an id counts as new.
        facts.messages.append(moved | ({"tokens": None} if at == 0 else {}))
        del facts.messages[at - 1]
        self.saved(facts)

    @rule()
    def fork(self) -> None:
        self.forks += 1
        name = f"b{self.forks}"
        self.store.fork("a", name, at=self.branch)
        self.facts[name] = deepcopy(self.facts[self.branch])
        self.branch = name

    @precondition(lambda self: len(self.facts[self.branch]) > 1)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        known = self.facts[self.branch]
        number = data.draw(st.integers(1, len(known)))
        self.store.rollback("a", to=number, branch=self.branch)
        del known[number:]

    @rule(data=st.data())
    def change_branch(self, data: st.DataObject) -> None:
        self.branch = data.draw(st.sampled_from(sorted(self.facts)))

    @invariant()
    def both_see_all(self) -> None:
        if not hasattr(self, "store"):
            return
        facts = self.facts[self.branch]
        for number in {1, len(facts)}:
            ref, now = f"{self.branch}@{number}", facts[number - 1]
            for cls, seen in ((FIRST, now.first()), (SECOND, now.second())):
                shown = self.store.at("a", ref, schema=cls).state
                assert {name: getattr(shown, name) for name in seen} == seen
        stored = self.store.at("a", self.branch)["messages"]
        if facts[-1].is_newer:
            tokens = [each["tokens"] for each in facts[-1].messages]
            assert [
                None if kept is None else each["tokens"]
                for each, kept in zip(stored, tokens, strict=True)
            ] == tokens


TestVersions = Versions.TestCase

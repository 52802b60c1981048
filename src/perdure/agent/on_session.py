"""What a `Session` does with the agent's record: a method each, whose body is acts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

from perdure.events import log
from perdure.session_base import OpenOptions, SessionBase
from perdure.state.variable import T_co

if TYPE_CHECKING:
    from perdure.agent.acts import Acts
    from perdure.agent.briefing import Briefing
    from perdure.agent.decisions import Decision
    from perdure.agent.environment import EnvironmentChanges
    from perdure.agent.known import Children, Facts, Goals
    from perdure.agent.on_task import Plan, Task
    from perdure.session import Session

T = TypeVar("T")


class AgentSession(SessionBase[T_co]):
    """The agent's record, for `Session`."""

    def _act(self, acts: Acts[T]) -> T:
        from perdure.agent.perform import perform  # few sessions are an agent's

        self._require_open()
        return perform(cast("Session[Any]", self), acts)

    def _act_last(self) -> None:
        """Note what is to be noted as the session ends; it ends all the same where that fails."""
        for section, acts in self._last_acts.items():
            try:
                self._act(acts())
            except Exception as error:
                log.warning(
                    "%s of %r was not noted as the session ended: %s", section, self.key, error
                )

    def task(self, name: str, *, after: Iterable[str] = ()) -> Task:
        """A task of this state, by its name; enter it to begin it, or to go on with it.

        Left normally, it is done; by an exception, it failed. It is kept in `perdure.tasks`.

        Args:
            name: what it is known by in this state.
            after: names of the tasks that have to be done before; kept when it is begun first.

        Raises:
            UsageError: these are no names.

        Example:
            >>> with session.task("audit json") as task:
            ...     tree = task.step("parse", parse, "json/decoder.py")
            ...     task.step("report", report, tree)
        """
        from perdure.agent.on_task import Task

        self._require_open()
        return Task(self, name, after)

    @property
    def plan(self) -> Plan:
        """The tasks of this state: to add to, to work through, and to see how far they are."""
        from perdure.agent.on_task import Plan

        return Plan(self)

    def environment(
        self,
        *,
        files: Iterable[str] = (),
        git: bool = False,
        packages: bool = False,
        env: Iterable[str] = (),
        root: str | os.PathLike[str] = ".",
    ) -> EnvironmentChanges:
        """What changed around the agent since it was here last; noted again as the session ends.

        Files are compared by size and time, and by their content where these differ. Paths are
        below the root, so a directory that was renamed or moved is the same. Of variables, only
        keyed hashes are kept. It is kept in the section `perdure.environment`.

        Args:
            files: patterns of those that count, like "src/**/*.py".
            git: whether the commit, the branch and the number of changed files count.
            packages: whether the versions of Python and of installed packages count.
            env: names of variables that count.
            root: the directory that the patterns begin in, and whose repository counts.

        Raises:
            UsageError: the root is no directory, or a pattern leads out of it.

        Example:
            >>> if changes := session.environment(files=["src/**/*.py"], git=True):
            ...     print(changes.summary())
            away 1:02:03; changed: src/app.py; git: 1f3c9ab → 77e01d2
        """
        from perdure.agent.environment import environment
        from perdure.agent.fingerprint import Asked

        asked = Asked(os.fspath(root), tuple(files), git, packages, tuple(env))
        return self._act(environment(self, asked))

    def briefing(
        self,
        max_tokens: int = 2000,
        *,
        count: Callable[[str], int] | None = None,
        conversation: str | None = None,
    ) -> Briefing:
        """What is needed to carry on from here, as Markdown for a prompt (`str` of it) and as data.

        Goal, last instruction, where it stopped, what is there of it and what is missing, how the
        last session ended, what is unknown, waited for, in progress, blocked, to do and done, its
        children, decisions, facts, and what changed around the agent: most important first. The
        same state gives the same bytes, whenever it is asked, while its children stand as they did:
        a prompt cache holds. What has no room is left out whole, and how much that is, is told.

        Args:
            max_tokens: its budget (tokens).
            count: the tokens of a text; by default an estimate, a quarter of its characters.
            conversation: the section in which to find the user's last instruction; by default
                `messages`, `chat`, `conversation` or `history`.

        Raises:
            UsageError: the budget is too small for any, or there is no such conversation.

        Example:
            >>> print(session.briefing(max_tokens=500))
            ## Goal
            <BLANKLINE>
            - Refund order 17
        """
        from perdure.agent.briefing import briefing

        return self._act(briefing(self, max_tokens, count, conversation))

    @overload
    def child(
        self,
        name: str,
        *,
        key: str | None = None,
        schema: None = None,
        **options: Unpack[OpenOptions],
    ) -> Session: ...

    @overload
    def child(
        self,
        name: str,
        *,
        key: str | None = None,
        schema: type[T],
        **options: Unpack[OpenOptions],
    ) -> Session[T]: ...

    def child(
        self,
        name: str,
        *,
        key: str | None = None,
        schema: type[Any] | None = None,
        **options: Unpack[OpenOptions],
    ) -> Session[Any]:
        """Open the state of a sub-agent, and link it here, so that it is not lost with its parent.

        It is a state like any other, in the same store. The link is saved, durably, before the
        child can save anything: this session's edits so far are saved with it. A child that is
        linked already is opened again, on the branch that it was linked with, and counts as
        unfinished again if it was completed or dropped. Its session performs effects as this one
        does, unless `effects=` says otherwise. `children` tells how it stands.

        Args:
            name: what this state calls it.
            key: of its state; by default one that follows from this state's key, from its branch
                and from the name, and is no other child's.
            schema: as in `Store.open`.
            options: those of `Store.open`.

        Raises:
            UsageError: the child has another key already, or this would be the state itself.
            InvalidKey: the key is no key, or too long: give another.
            SaveInsideAtomic: inside an atomic block.

        And as `Store.open` and `save`; a child that could not be opened is not linked.

        Example:
            >>> with session.child("researcher") as child:
            ...     child.state["messages"] = [{"role": "user", "content": "Find the order"}]
        """
        from perdure.agent.children import keep_link, link_for

        link = self._act(link_for(self, name, key, options.get("branch")))
        options = {"effects": self._effects, **options, "branch": link.branch}
        child: Session[Any] = self._store.open(link.key, schema=schema, **options)
        try:
            self._act(keep_link(self, name, link))
        except BaseException as error:
            child.__exit__(type(error), error, error.__traceback__)
            raise
        return child

    @property
    def children(self) -> Children:
        """The states of sub-agents that this one has linked with `child`, and how they stand."""
        from perdure.agent.known import Children

        return Children(self)

    @property
    def goals(self) -> Goals:
        """What the agent is after: `add`, `complete` and `drop` goals."""
        from perdure.agent.known import Goals

        return Goals(self)

    @property
    def facts(self) -> Facts:
        """What the agent found out: `set`, `get`, and which of it is `stale`."""
        from perdure.agent.known import Facts

        return Facts(self)

    def decide(
        self, text: str, *, because: str | None = None, based_on: Iterable[str] = ()
    ) -> Decision:
        """Note a decision; kept in the section `perdure.decisions`, and told in the briefing.

        Args:
            text: what was decided.
            because: why.
            based_on: names of facts, tasks or paths in the state.

        Raises:
            UsageError: the text says nothing.

        Example:
            >>> session.decide("Refund by card", because="it is faster", based_on=["rate"])
        """
        from perdure.agent.decisions import decide

        return self._act(decide(self, text, because, based_on))

    def decisions(self) -> list[Decision]:
        """What was decided, oldest first."""
        from perdure.agent.decisions import every

        return self._act(every(self))

    def ask(self, id: str, payload: Any, *, expires_in: timedelta | None = None) -> Any:
        """The answer to a question, or the end of this session until there is one.

        The question is saved, and `Waiting` raised: let it end the session. Whoever knows answers
        with `Store.answer`, or `perdure answer`; the next session that asks the same under this id
        gets the answer. An answer is to what was asked: another payload is another question.

        Args:
            id: of the question, in this state.
            payload: what is asked: anything that a state can hold.
            expires_in: how long to wait for an answer.

        Raises:
            Waiting: there is no answer yet.
            QuestionExpired: there was none in time.
            NotStorable: the payload cannot be stored.

        Example:
            >>> if session.ask("approve refund", {"order": 17, "amount": 40}):
            ...     refund()
        """
        from perdure.agent.waiting import ask

        return self._act(ask(self, id, payload, expires_in))

    def note_question(self, id: str, payload: Any, *, where: str) -> None:
        """Note that an answer is waited for which is given elsewhere; saved with the next save.

        The briefing, `Store.waiting` and `perdure waiting` tell of it, and of a parent's child that
        it waits. What runs this agent takes the answer, and says so by `drop_question`. The same
        question noted again stays as old as it is.

        Args:
            id: of the question, in this state.
            payload: what is asked: anything that a state can hold.
            where: where it is answered, in words: "LangGraph".

        Raises:
            UsageError: the id is that of a question or a timer of this agent's own.
            NotStorable: the payload cannot be stored.

        Example:
            >>> session.note_question("interrupt 1", "Refund order 17?", where="our web page")
            >>> session.save()
        """
        from perdure.agent.waiting import note_question

        self._act(note_question(self, id, payload, where))

    def drop_question(self, id: str) -> bool:
        """Say that a question of `note_question` waits no more; saved with the next save.

        Args:
            id: of the question.

        Returns:
            Whether it was there.

        Raises:
            UsageError: the id is that of a question or a timer of this agent's own.

        Example:
            >>> session.drop_question("interrupt 1")
            True
        """
        from perdure.agent.waiting import drop_question

        return self._act(drop_question(self, id))

    def sleep_until(self, id: str, until: datetime | timedelta) -> None:
        """Go on only once a time has come: the end of this session until then.

        The time is set when it is first asked for, and saved; `Store.due` names the states whose
        time has come.

        Args:
            id: of the timer, in this state.
            until: a time, or how long from now.

        Raises:
            Waiting: it has not come yet.
            UsageError: the id is a question's.

        Example:
            >>> session.sleep_until("remind", timedelta(days=2))
        """
        from perdure.agent.waiting import sleep_until

        self._act(sleep_until(self, id, until))

"""The sections in which an agent's record stands, and how they are opened to be edited."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from perdure.agent.acts import Acts, Load
from perdure.engine import questions
from perdure.errors import Malformed, UsageError

if TYPE_CHECKING:
    from perdure.session_base import SessionBase

TASKS = "perdure.tasks"
QUESTIONS = questions.SECTION
GOALS = "perdure.goals"
DECISIONS = "perdure.decisions"
FACTS = "perdure.facts"
ENVIRONMENT = "perdure.environment"
CHILDREN = "perdure.children"

KINDS: dict[str, type] = {
    TASKS: dict,
    QUESTIONS: dict,
    GOALS: dict,
    DECISIONS: dict,
    FACTS: dict,
    ENVIRONMENT: dict,
    CHILDREN: dict,
}
"""What each section is."""


def worded(text: object, what: str) -> str:
    """A text of the user's, as the record keeps it.

    Raises:
        UsageError: it is none, or says nothing.
    """
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"a {what} is a text that says something, not {text!r}")
    return text


def lasting(duration: object, what: str) -> None:
    """Refuse what is no duration; None is: it is not said.

    Raises:
        UsageError: it is none, or nothing.
    """
    if duration is None or (isinstance(duration, timedelta) and duration > timedelta(0)):
        return
    raise UsageError(f"{what} is a timedelta of more than nothing, not {duration!r}")


def read(session: SessionBase[Any], name: str) -> Acts[Any]:
    """A section of the record, tracked; an empty one that is in no state if it is not there.

    Raises:
        Malformed: what is stored there is none.
    """
    if name not in session.raw:
        return KINDS[name]()
    if not session._document.is_loaded(name):
        yield Load(name)
    return section(session, name)


def section(session: SessionBase[Any], name: str) -> Any:
    """A section of the record, tracked, that there is; where it has to load, it is.

    Raises:
        Malformed: what is stored there is none.
        SectionNotLoaded: under asyncio, where it would have to load.
    """
    found = session.raw[name]
    if not isinstance(found, KINDS[name]):
        raise Malformed(
            f"{session.key!r}: section {name!r} is a {type(found).__name__}, where the agent's "
            f"record has a {KINDS[name].__name__}; `session.raw[{name!r}]` has it as it is"
        )
    return found


def edit(session: SessionBase[Any], name: str) -> Acts[Any]:
    """A section of the record, tracked, put there first if it is not.

    Raises:
        Malformed: what is stored there is none.
    """
    if name not in session.raw:
        session._document.write_reserved(name, KINDS[name]())
    return (yield from read(session, name))


def field(record: Any, name: str, default: Any = None) -> Any:
    """What stands in a record under a name, to be read only: it is not tracked for it."""
    return dict.get(record, name, default)

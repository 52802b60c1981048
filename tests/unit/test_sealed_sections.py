"""The sections that say a state's version, and what older code left: read, and never edited."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest

import perdure
from perdure.core.lens import KEPT
from perdure.core.versions import SECTION
from perdure.errors import ReservedSection

STAMP = {"Plan": {"version": 1, "steps": [[0, 1, [], None]]}}


class Plan(TypedDict, total=False):
    goal: str
    steps: list[str]


def scrubbed(value: Any) -> None:
    """What agents do to their states: take out all that is None."""
    if isinstance(value, dict):
        for key in [key for key, item in value.items() if item is None]:
            del value[key]
    if isinstance(value, list):
        value[:] = [item for item in value if item is not None]
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, dict | list):
            scrubbed(item)


@pytest.fixture
def session(store: perdure.Store) -> Any:
    session = store.open("a")
    session._document.write_reserved(SECTION, STAMP)
    session._document.write_reserved(KEPT, {"notes@2": [None]})
    session.save()
    yield session
    session.close()


@pytest.mark.parametrize("name", [SECTION, KEPT])
@pytest.mark.parametrize(
    "reading",
    [
        lambda state, name: state[name],
        lambda state, name: state.get(name),
        lambda state, name: dict(state.items())[name],
        lambda state, name: state.copy()[name],
        lambda state, name: (state | {})[name],
        lambda state, name: state.setdefault(name, {}),
    ],
    ids=["item", "get", "items", "copy", "or", "setdefault"],
)
def test_they_are_read_by_every_way_and_edited_by_none(
    session: Any, name: str, reading: Any
) -> None:
    section = reading(session.state, name)
    assert section == session.state.plain()[name]
    with pytest.raises(ReservedSection, match="can be read, not edited"):
        section.clear()
    with pytest.raises(ReservedSection):
        scrubbed(section)
    assert session.changes() == []
    section.plain().clear()
    assert session.state[name] == section


def test_the_last_section_of_a_typed_dict_is_never_the_librarys(store: perdure.Store) -> None:
    with store.open("a", schema=Plan) as session:
        session.state["goal"] = "rest"
        session.save()
        assert SECTION in session.raw
        state: Any = session.state
        assert state.popitem() == ("goal", "rest")
        with pytest.raises(KeyError):
            state.popitem()

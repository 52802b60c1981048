"""The reference model tells every broken promise from a kept one."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from perdure.core.changes import Set, Splice
from perdure.testing.model import Broken, Model
from perdure.types import Checkpoint

START = datetime(2026, 1, 1, tzinfo=UTC)


def checkpoint(number: int, token: str) -> Checkpoint:
    first = Set(("log w",), [token]), Set(("count w",), 1)
    later = Splice(("log w",), number - 1, 0, [token]), Set(("count w",), number)
    return Checkpoint(
        "key",
        "main",
        number,
        f"{number:032x}",
        START + timedelta(seconds=number),
        "session",
        f"{number:064x}",
        changes=first if number == 1 else later,
    )


HISTORY = [checkpoint(1, "w.1"), checkpoint(2, "w.2"), checkpoint(3, "w.3")]
FINAL = {"log w": ["w.1", "w.2", "w.3"], "count w": 3}


def told() -> Model:
    model = Model()
    for each, token in zip(HISTORY[:2], ("w.1", "w.2"), strict=True):
        model.acknowledged(model.saving("w", token), each)
    model.saving("w", "w.3")
    model.seen("r", 1, {"log w": ["w.1"], "count w": 1})
    return model


def test_what_was_promised_passes_with_and_without_the_save_whose_answer_was_lost() -> None:
    told().settle(HISTORY, FINAL)
    told().settle(HISTORY[:2], {"log w": ["w.1", "w.2"], "count w": 2})


LIES: dict[str, tuple[str, Callable[[Model], None]]] = {
    "an acknowledged save is gone": (
        "P1",
        lambda model: model.settle(HISTORY[:1], {"log w": ["w.1"], "count w": 1}),
    ),
    "it has another id": (
        "P1",
        lambda model: model.settle([HISTORY[0], replace(HISTORY[1], id="f" * 32)], FINAL),
    ),
    "it has another hash": (
        "P1",
        lambda model: model.settle([replace(HISTORY[0], hash="f" * 64), *HISTORY[1:]], FINAL),
    ),
    "a save landed twice": (
        "P4",
        lambda model: model.settle([*HISTORY, checkpoint(4, "w.1")], FINAL),
    ),
    "an id twice": (
        "P4",
        lambda model: model.settle([*HISTORY[:2], replace(HISTORY[2], id=HISTORY[0].id)], FINAL),
    ),
    "a gap": ("P7", lambda model: model.settle([HISTORY[0], HISTORY[2]], FINAL)),
    "a save nobody made": ("P2", lambda model: model.settle([*HISTORY, checkpoint(4, "x")], FINAL)),
    "time goes back": (
        "times",
        lambda model: model.settle([*HISTORY[:2], replace(HISTORY[2], time=START)], FINAL),
    ),
    "the last load lacks a save": (
        "P2",
        lambda model: model.settle(HISTORY, {"log w": ["w.1", "w.2"], "count w": 3}),
    ),
    "half a save is shown": ("P2", lambda model: model.seen("r", 1, {"log w": ["w.1"]})),
    "a newer save is shown": ("P2", lambda model: model.seen("r", 2, FINAL)),
    "a stale state is shown": ("P1", lambda model: model.seen("r", 0, {}, model.floor)),
    "two are told one number": (
        "P3",
        lambda model: model.acknowledged(model.saving("w", "w.9"), HISTORY[0]),
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_broken_promise_is_named(lie: str) -> None:
    number, tell = LIES[lie]
    with pytest.raises(Broken, match=f"^{number}"):
        tell(told())


def test_what_was_given_up_must_not_land() -> None:
    model = told()
    model.gave_up(model.attempts["w.3"])
    with pytest.raises(Broken, match=r"^P4: w\.3 was given up"):
        model.settle(HISTORY, FINAL)


def test_what_was_shown_is_compared_with_the_history() -> None:
    model = told()
    model.seen("r", 1, {"log w": ["w.3"], "count w": 1})
    with pytest.raises(Broken, match=r"^P2: r was shown"):
        model.settle(HISTORY, FINAL)

"""What is told of a head that an anchor does not let through, and the ways out."""

from __future__ import annotations

from datetime import datetime

from perdure.backends.protocol import Backend
from perdure.core.abbreviate import count
from perdure.core.anchor import Mark, Unfit
from perdure.core.erasure import open_receipt
from perdure.engine.requests import ErasedRow, ReadErased
from perdure.engine.view import when
from perdure.errors import PerdureError, Tampered

ACCEPT = "If it was put back on purpose, take it for the newest: perdure verify --anchor … --accept"


def refusal(key: str, wrong: Unfit, mark: Mark | None, erased: datetime | None) -> Tampered:
    """The error for a state that is not as its anchor knows it.

    Args:
        key: the state's key.
        wrong: what is wrong with it.
        mark: what the anchor knows.
        erased: when the life that was marked was erased, by the store's own receipt.
    """
    knew = count(mark.commits, "commit") if mark is not None else "none"
    return Tampered(
        f"the state {key!r} is not as its anchor knows it ({knew}): {wrong.why}. "
        f"{_how(wrong, erased)}",
        form=wrong.form,
        place=f"head of {key!r}",
    )


def lost(erased: datetime | None) -> str:
    """What is told of a state that the anchor knows and the store has not."""
    wrong = Unfit("missing", "the anchor knows of this state, and the store has no such state")
    return f"{Tampered.kind}: {wrong.why}. {_how(wrong, erased)}"


def _how(wrong: Unfit, erased: datetime | None) -> str:
    """How it may have come to that, and what to do."""
    if erased is not None:
        return (
            f"An erasure of it is on record, at {erased:%Y-%m-%d %H:%M:%S} UTC, which was made "
            "without this anchor. If that was you, see that nothing else is wrong: perdure verify "
            "--anchor …; then take the store as it is: perdure verify --anchor … --accept"
        )
    if wrong.form == "missing":
        return f"No erasure of it is on record: it, or the store, was taken away. {ACCEPT}"
    return f"An older or another version was put in its place. {ACCEPT}"


def erased_at(backend: Backend, store: bytes, mark: Mark | None) -> datetime | None:
    """When the marked life of a state was erased, by a receipt that is what was stored."""
    if mark is None:
        return None
    try:
        rows: tuple[ErasedRow, ...] = backend.perform(ReadErased((mark.incarnation,)))
        for row in rows:
            return when(open_receipt(row.blob, store=store, incarnation=mark.incarnation).at)
    except PerdureError:
        pass  # it proves nothing, and what is wrong with the state is told
    return None

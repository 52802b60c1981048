"""Whatever happened to a state: after a redaction every checkpoint is what a plain function says.

Texts come to have what is looked for in pieces, by edits of texts, lists, sets and mappings, on
branches, by merges; some of it is pruned, packed, and kept as snapshots (P6, P7, P8).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import perdure
from perdure import errors, limits
from perdure.backends import objects

KEY, MARK = "a", "[redacted]"
SMALL = {
    "branches_inline_max": 3,
    "tail_records_max": 4,
    "snapshots_kept_max": 3,
    "section_inline_bytes_max": 64,
    "inline_bytes_max": 256,
}
PIECES = ("sec", "ret", "secret", "x", "", "s" * 20, "a longer text of which much stays: ")
RENAMED = re.compile(r"\[redacted(-[0-9a-f]{12})?\]")
Text = Callable[[str], str]


# ---- a history ------------------------------------------------------------------------------


def piece(draw: random.Random) -> str:
    return "".join(draw.choices(PIECES, k=2))


def value(draw: random.Random, depth: int = 0) -> Any:
    """Anything a state may hold, with texts in it."""
    kind = draw.randrange(10 if depth < 2 else 5)
    if kind < 3:
        return piece(draw)
    if kind == 3:
        return piece(draw).encode()
    if kind == 4:
        return draw.choice([17, None, 1.5, True])
    if kind < 7:
        return [value(draw, depth + 1) for _ in range(draw.randrange(3))]
    if kind < 9:
        return {piece(draw): value(draw, depth + 1) for _ in range(draw.randrange(3))}
    return draw.choice([{piece(draw), "m"}, (piece(draw), 1), frozenset({piece(draw)})])


def edit(state: Any, draw: random.Random) -> None:
    """One edit of a text, a list, a mapping or a set, or of something within."""
    if not isinstance(state.get("doc"), dict):  # or it was redacted as a whole
        state["doc"] = {"text": "", "tags": set(), "parts": {}}
    if not isinstance(state.get("log"), list):
        state["log"] = []
    doc, log = state["doc"], state["log"]
    at = draw.randrange(len(log) + 1)
    match draw.randrange(11):
        case 0:
            log.insert(at, {"by": piece(draw), "text": value(draw)})
        case 1 if log:
            del log[at - 1]
        case 2 if log:
            log[at - 1] = {"by": "me", "text": piece(draw)}
        case 3 if log:
            if not isinstance(log[at - 1], dict):
                log[at - 1] = {}
            text = log[at - 1].get("text")
            log[at - 1]["text"] = text + piece(draw) if isinstance(text, str) else "sec"
        case 4 | 5:
            text = doc["text"]
            cut = draw.randrange(len(text) + 1)
            doc["text"] = text[:cut] + piece(draw) + text[cut + draw.randrange(3) :]
        case 6:
            doc["text"] += piece(draw)
        case 7:
            doc["tags"] ^= {piece(draw)}
        case 8:
            doc["parts"][piece(draw)] = value(draw)
        case 9 if doc["parts"]:
            del doc["parts"][draw.choice(list(doc["parts"]))]
        case _:
            state[draw.choice(["one", "two", "secret one"])] = value(draw)


def save(store: perdure.Store, branch: str, draw: random.Random) -> None:
    with store.open(KEY, branch=branch) as session:
        for _ in range(draw.randrange(1, 5)):
            for _ in range(draw.randrange(1, 4)):
                edit(session.state, draw)
            label = f"at {piece(draw)}" if draw.random() < 0.2 else None
            session.save(label=label, metadata={"by": piece(draw)} if label else None)


def happen(store: perdure.Store, draw: random.Random) -> None:
    """One thing that happens to a state."""
    names = [each.name for each in store.branches(KEY)]
    name, other = draw.choice(names), draw.choice(names)
    every = store.history(KEY, every=True)
    match draw.randrange(12):
        case 0 if len(names) < 6:
            store.fork(KEY, f"b{draw.randrange(10**9)}", at=draw.choice(every).id)
        case 1:
            store.rollback(KEY, draw.choice(every).id, branch=name)
        case 2:
            with suppress(errors.UsageError):
                store.undo(KEY)
        case 3:
            with suppress(errors.MergeConflicts, errors.UsageError):
                store.merge(KEY, name, into=other)
        case 4 | 5:
            store.maintain(KEY)
        case 6 if draw.random() < 0.5:
            left = draw.choice([timedelta(0), timedelta(days=1)])
            store.prune(perdure.Retention(keep_last=draw.randrange(1, 6), keep_left=left), KEY)
        case 7 if name != "main":
            store.delete_branch(KEY, name)
        case _:
            save(store, name, draw)


# ---- what is to come of it ------------------------------------------------------------------


def replaced(value: Any, text: Text) -> Any:
    """A value with its texts replaced; a mapping as its pairs, whose keys cannot be foretold."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bytes):
        return text(value.decode()).encode()
    if isinstance(value, dict):
        return [(text(key), replaced(each, text)) for key, each in value.items()]
    if isinstance(value, list):
        return ["list", *(replaced(each, text) for each in value)]
    if isinstance(value, tuple):
        return ["tuple", *(replaced(each, text) for each in value)]
    if isinstance(value, set | frozenset):
        return type(value), sorted({repr(replaced(each, text)) for each in value})
    return value


def at_path(value: Any, path: tuple[str, ...], change: Callable[[Any], Any]) -> Any:
    """A value with what is at a path changed."""
    if not path:
        return change(value)
    first, rest = path[0], path[1:]
    if isinstance(value, dict):
        return {
            key: at_path(each, rest, change) if first in ("*", key) else each
            for key, each in value.items()
        }
    if isinstance(value, list | tuple) and first == "*":
        return type(value)(at_path(each, rest, change) for each in value)
    return value


def same(text: str) -> str:
    return text


def plain(found: Any) -> Any:
    """What is read of a state, in the form that `replaced` gives, renamed keys made alike."""
    return replaced(found, lambda text: RENAMED.sub(MARK, text))


SECRET = "secret"


def gone(text: str) -> str:
    return text.replace(SECRET, MARK)


def deep(value: Any) -> Any:
    """A value whose texts are to be replaced, at a path."""
    return _Replaced(value)


class _Replaced:
    """Stands for a value that is to be replaced, until all is put in one form."""

    def __init__(self, value: Any) -> None:
        self.value = value


def formed(value: Any, text: Text = same) -> Any:
    """`replaced`, which replaces texts below `_Replaced` only."""
    if isinstance(value, _Replaced):
        return replaced(value.value, gone)
    if isinstance(value, dict):
        return [(key, formed(each)) for key, each in value.items()]
    if isinstance(value, list | tuple):
        return [type(value).__name__, *(formed(each) for each in value)]
    return replaced(value, text)


CASES: dict[str, tuple[str | None, Any, Callable[[Any], Any]]] = {
    "text": (None, SECRET, lambda state: replaced(state, gone)),
    "pattern": (None, re.compile("sec(?:ret)"), lambda state: replaced(state, gone)),
    "text at": ("doc/text", None, lambda s: formed(at_path(s, ("doc", "text"), lambda _: MARK))),
    "section": ("log", None, lambda s: formed(at_path(s, ("log",), lambda _: MARK))),
    "any": ("*/*/text", None, lambda s: formed(at_path(s, ("*", "*", "text"), lambda _: MARK))),
    "parts": ("doc/parts/*", None, lambda s: formed(at_path(s, ("doc", "parts", "*"), _marked))),
    "both": ("log/*", SECRET, lambda s: formed(at_path(s, ("log", "*"), deep))),
    "both at": ("doc/**", SECRET, lambda s: formed(at_path(s, ("doc",), deep))),
}


def _marked(_value: Any) -> str:
    return MARK


# ---- the test -------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["memory:", "memory+objects:"])
@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), case=st.sampled_from(sorted(CASES)), count=st.integers(1, 14))
@example(seed=1, case="text", count=14)
def test_every_checkpoint_is_what_a_plain_function_says_P6_P7_P8(
    url: str, seed: int, case: str, count: int
) -> None:
    draw = random.Random(seed)
    with pytest.MonkeyPatch.context() as patches, perdure.Store(url, maintenance="off") as store:
        for name, bound in SMALL.items():
            patches.setattr(limits, name, bound)
        patches.setattr(objects, "inline_bytes_max", 700)
        save(store, "main", draw)
        for _ in range(count):
            happen(store, draw)
        for chosen in (case, draw.choice(sorted(CASES))):
            redact(store, chosen)
            require(store)
            for _ in range(draw.randrange(3)):
                happen(store, draw)
            require(store)


def require(store: perdure.Store) -> None:
    (found,) = store.verify(KEY)
    assert found.problem is None


def redact(store: perdure.Store, case: str) -> None:
    """Redact, and compare every checkpoint with what it was."""
    path, match, expected = CASES[case]
    store.sweep()
    before = {each.id: each for each in store.history(KEY, every=True)}
    states = {id_: expected(store.at(KEY, id_).plain()) for id_ in before}
    dry = store.redact(KEY, path, match=match, dry_run=True)
    told = store.redact(KEY, path, match=match)
    assert (dry.checkpoints, dry.values, dry.sections) == (
        told.checkpoints,
        told.values,
        told.sections,
    )
    after = {each.id: each for each in store.history(KEY, every=True, changes=True)}
    assert [(each.id, each.hash, each.number, each.time) for each in after.values()] == [
        (each.id, each.hash, each.number, each.time) for each in before.values()
    ]
    for id_, state in states.items():
        assert plain(store.at(KEY, id_).plain()) == plain_form(state)
    if path is None:
        assert SECRET not in repr(list(after.values()))
        assert SECRET not in repr(store.movements(KEY))
    assert store.redact(KEY, path, match=match).values == 0


def plain_form(state: Any) -> Any:
    """What is expected, where an earlier redaction renamed keys: they are made alike too."""
    if isinstance(state, str):
        return RENAMED.sub(MARK, state)
    if isinstance(state, list):
        return [plain_form(each) for each in state]
    if isinstance(state, tuple):
        return tuple(plain_form(each) for each in state)
    return state

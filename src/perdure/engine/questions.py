"""Questions that agents wait with, and their answers, which belong to no branch.

A question stands in the section `perdure.questions` of a branch, saved by the agent. Its answer is
a claim in the head, under a key made of its id and the hash of what was asked: so it is given once,
moves no branch and meets no save, and the agent's next session finds it wherever it stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

from perdure import limits
from perdure.core.codec import pack, unpack
from perdure.core.head import MAIN, Claim, Head
from perdure.engine import claimed, claims
from perdure.engine.load import Loaded, load, read_section
from perdure.engine.moving import NOBODY
from perdure.engine.read import Site, read_head
from perdure.engine.requests import HeadRow, ListHeads, Now, Random, Steps
from perdure.engine.unread import Unread
from perdure.engine.view import when
from perdure.errors import AlreadyAnswered, PathNotFound, StateNotFound, UsageError
from perdure.types import Question

SECTION = "perdure.questions"
ANSWERS = "perdure.answer "
"""How the claims begin that are answers; no effect may be named so."""

HASH = "hash"
"""Where a question's record has the hash of what was asked; a timer's has none."""

WHERE = "where"
"""Where a question's record says who is to be answered, if that is not this agent: it has no hash
then, and no answer is claimed."""

HASH_BYTES = 16
_NO_HOLDER = ("", 0, "", "")


Answer: TypeAlias = tuple[Any, str, int]
"""What was answered, by whom, and when (microseconds since 1970)."""


def hash_of(payload: Any) -> str:
    """What an answer is bound to: the hash of what was asked (hex)."""
    return hashlib.blake2b(pack(payload), digest_size=HASH_BYTES).hexdigest()


def claim_key(id_: str, hash_: str) -> str:
    """Under which an answer is claimed."""
    return f"{ANSWERS}{hash_} {id_}"


def answer_of(site: Site, id_: str, hash_: str) -> Steps[Answer | None]:
    """The answer to a question; None: there is none.

    As the head is by now, whatever the session has read.
    """
    head = yield from read_head(site)
    return (yield from _answer_in(site, head, id_, hash_))


def answers_of(site: Site, hashes: Mapping[str, str]) -> Steps[dict[str, Answer]]:
    """The same of several questions, given by id and hash: the answers that there are, by id."""
    head = yield from read_head(site)
    found: dict[str, Answer] = {}
    for id_, hash_ in hashes.items():
        given = yield from _answer_in(site, head, id_, hash_)
        if given is not None:
            found[id_] = given
    return found


def _answer_in(site: Site, head: Head, id_: str, hash_: str) -> Steps[Answer | None]:
    found = yield from claimed.find(site, head, claim_key(id_, hash_))
    if found is None:
        return None
    value = yield from claimed.result_of(site, head, found)
    return value, found.by or "", found.ended_us or found.at_us


def _asked(section: Mapping[str, Any]) -> str:
    """What a state waits with, or nothing; what is answered elsewhere too, as listings name it."""
    told = [
        repr(name) if HASH in each else f"{name!r} (to be answered in {each[WHERE]})"
        for name, each in section.items()
        if HASH in each or WHERE in each
    ]
    return ", ".join(told) or "nothing"


def answer(id_: str, packed: bytes, by: str, branch: str, site: Site) -> Steps[Question]:
    """Answer a question of a state: the question.

    Raises:
        StateNotFound: there is no such state.
        PathNotFound: it waits with no such question; the message names those that it does.
        UsageError: it is answered elsewhere.
        AlreadyAnswered: it was answered otherwise.
    """
    loaded = yield from load(site, branch, lambda name: name == SECTION)
    if loaded is None or loaded.head.deleted_us is not None:
        raise StateNotFound(f"there is no state {site.key!r}")
    section = yield from _section(site, loaded, branch)
    record = section.get(id_, {})
    if WHERE in record:
        raise UsageError(f"{site.key!r}: {id_!r} is to be answered in {record[WHERE]}, not here")
    if HASH not in record:
        there = _asked(section)
        raise PathNotFound(
            f"{site.key!r} waits with no question {id_!r} on {branch!r}; it asked: {there}"
        )
    now = yield Now()
    id_bytes = yield Random(16)
    made = Claim(id_bytes, NOBODY, _NO_HOLDER, now, "answer", now, packed, by=by)
    key = claim_key(id_, record[HASH])
    head, standing = yield from claims.claim(site, loaded.head, key, made)
    if standing.id != made.id:
        given = yield from claimed.result_of(site, head, standing)
        if pack(given) != packed:
            raise AlreadyAnswered(
                f"{site.key!r}: {id_!r} was answered {given!r} by {standing.by or 'somebody'} "
                f"{when(standing.at_us):%Y-%m-%d %H:%M:%SZ}; nothing was changed"
            )
    return _question(site.key, branch, id_, record)


def waiting(store: bytes, prefix: str) -> Steps[list[Question]]:
    """The open questions and timers of all states below a prefix, on their `main`, by key."""
    found: list[Question] = []
    after = None
    while True:
        rows = yield ListHeads(prefix, after, limits.heads_listed_max)
        for key, row in rows:
            after = key
            found += yield from _open(Site(store, key), row)
        if len(rows) < limits.heads_listed_max:
            return found


def _open(site: Site, row: HeadRow) -> Steps[list[Question]]:
    if site.head(row).deleted_us is not None:
        return []
    loaded = yield from load(site, MAIN, lambda name: name == SECTION)
    return (yield from open_in(site, loaded, MAIN)) if loaded is not None else []


def open_in(site: Site, loaded: Loaded, branch: str) -> Steps[list[Question]]:
    """The open questions and timers of a state that was loaded, in order."""
    if SECTION not in loaded.sections:
        return []
    found: list[Question] = []
    for id_, record in (yield from _section(site, loaded, branch)).items():
        if not (yield from is_over(site, loaded.head, id_, record)):
            found.append(_question(site.key, branch, id_, record))
    return found


def is_over(site: Site, head: Head, id_: str, record: Mapping[str, Any]) -> Steps[bool]:
    """Whether nothing is waited for: it was answered, if only the agent has not come back since."""
    if "answered" in record or HASH not in record:
        return "answered" in record
    return (yield from claimed.find(site, head, claim_key(id_, record[HASH]))) is not None


def _section(site: Site, loaded: Loaded, branch: str) -> Steps[Mapping[str, Any]]:
    value = loaded.sections.get(SECTION, {})
    if type(value) is Unread:
        value = yield from read_section(site, loaded.head, branch, SECTION, {SECTION: value})
    records = value if isinstance(value, Mapping) else {}
    return {name: each for name, each in records.items() if isinstance(each, Mapping)}


def _question(key: str, branch: str, id_: str, record: Mapping[str, Any]) -> Question:
    asked: datetime = record["asked"]
    due: datetime | None = record.get("until", record.get("expires"))
    payload = unpack(pack(record.get("payload")))
    where: str | None = record.get(WHERE)
    return Question(key, branch, id_, payload, asked, due, "until" in record, where)

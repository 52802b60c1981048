"""What a part of a program may do in a store, and the wall that keeps it to that.

The wall stands around any engine function and looks at its requests: a key outside of the scope is
neither read nor committed, whatever the function was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import msgspec
from msgspec.structs import replace

from perdure.engine.requests import (
    Commit,
    Discard,
    Erase,
    ListHeads,
    PutPages,
    ReadHead,
    ReadState,
    Request,
    Stage,
    Steps,
)
from perdure.errors import NotAllowed, PerdureError, ReadOnlyStore, UsageError

T = TypeVar("T")

Verb: TypeAlias = Literal["read", "write", "answer", "manage", "erase"]
"""What may be done: read; what a session does; what a person says; what keeps states in order; what
nothing brings back."""
VERBS: frozenset[Verb] = frozenset(get_args(Verb))
IN_SESSIONS: frozenset[Verb] = frozenset(("read", "write"))
"""What a session may do at most: it is no person, and keeps nothing in order."""

EVERYTHING = "*"
_WRITES = (Commit, PutPages, Stage, Discard, Erase)


class Scope(msgspec.Struct, frozen=True):
    """Keys, and what may be done with their states."""

    pattern: str
    """A key; a prefix that ends in `/*`; or `*`."""
    allow: frozenset[Verb]
    is_read_only: bool = False
    """Whether it is that of a store that was opened so, and nobody's choice for a part of it."""

    @property
    def prefix(self) -> str:
        """How all its keys begin."""
        return self.pattern.removesuffix("*")

    @property
    def is_one(self) -> bool:
        """Whether it has one key."""
        return not self.pattern.endswith("*")

    def has(self, key: str) -> bool:
        """Whether a key lies within it."""
        return key == self.pattern if self.is_one else key.startswith(self.prefix)

    def refusal(self, verb: Verb, what: str) -> PerdureError:
        """The error for what it does not allow."""
        if self.is_read_only:
            return ReadOnlyStore(
                f"{what} would write, and this store was opened with read_only=True"
            )
        return NotAllowed(
            f"{what} needs {verb!r}, and this handle has {', '.join(sorted(self.allow))}: ask "
            f"whoever made it for scoped({self.pattern!r}, allow={{…, {verb!r}}})"
        )

    def require(self, verb: Verb, what: str) -> None:
        """Raise unless something may be done.

        Raises:
            NotAllowed: it may not.
            ReadOnlyStore: nothing may be written at all.
        """
        if verb not in self.allow:
            raise self.refusal(verb, what)

    def require_key(self, key: str) -> None:
        """Raise unless a key lies within it.

        Raises:
            NotAllowed: it does not.
        """
        if not self.has(key):
            raise NotAllowed(f"{key!r} is outside of what this handle may use: {self.pattern!r}")

    def narrowed(self, pattern: str, allow: Iterable[Verb]) -> Scope:
        """A scope within this one.

        Raises:
            NotAllowed: it does not lie within this one.
            UsageError: the pattern or a verb is none.
        """
        made = Scope(_pattern(pattern), _verbs(allow))
        if not (self.has(made.pattern) if made.is_one else made.prefix.startswith(self.prefix)):
            raise NotAllowed(f"{pattern!r} is not within {self.pattern!r}; a scope only narrows")
        if self.is_one and not made.is_one:
            raise NotAllowed(f"{pattern!r} is not within {self.pattern!r}; a scope only narrows")
        for verb in sorted(made.allow - self.allow):
            raise self.refusal(verb, f"a scope with {verb!r}")
        return made

    def in_sessions(self) -> Scope:
        """What a session that is opened through it may do."""
        return replace(self, allow=self.allow & IN_SESSIONS)

    # ---- the wall ---------------------------------------------------------------------------

    def let_through(self, request: Request) -> Request:
        """A request as it may be made.

        Raises:
            NotAllowed: it may not.
            ReadOnlyStore: nothing may be written at all.
        """
        if isinstance(request, ReadHead | ReadState | Commit | Erase):
            self.require_key(request.key)
        if isinstance(request, ListHeads):
            return self._cut(request)
        if isinstance(request, _WRITES) and self.allow <= {"read"}:
            raise self.refusal("write", "this")
        return request

    def _cut(self, request: ListHeads) -> ListHeads:
        """A listing of what lies within."""
        if request.prefix.startswith(self.prefix):
            return request
        if self.prefix.startswith(request.prefix):
            return replace(request, prefix=self.prefix)
        return replace(request, prefix=self.prefix, count=0)

    def answer_to(self, request: Request, answer: Any) -> Any:
        """What is told of an answer."""
        if isinstance(request, ListHeads):
            if request.count == 0:
                return ()
            return tuple([row for row in answer if self.has(row[0])]) if self.is_one else answer
        return answer


def within(scope: Scope, steps: Steps[T]) -> Steps[T]:
    """An engine function behind the wall."""
    answer: Any = None
    error: BaseException | None = None
    try:
        while True:
            try:
                request = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as stop:
                result: T = stop.value
                return result
            answer, error = None, None
            try:
                asked = scope.let_through(request)
                is_none = isinstance(asked, ListHeads) and asked.count == 0
                answer = () if is_none else scope.answer_to(asked, (yield asked))
            except Exception as raised:
                error = raised
    finally:
        steps.close()


def _pattern(pattern: object) -> str:
    if not isinstance(pattern, str) or not pattern:
        raise UsageError(f"a scope is a key, or a prefix such as 'support/*', not {pattern!r}")
    body = pattern.removesuffix("*")
    if "*" in body or (body and body != pattern and not body.endswith("/")):
        raise UsageError(
            f"{pattern!r} is no scope: a '*' stands at the end, after a '/': 'support/*'. It would "
            "let in names that only begin alike"
        )
    return pattern


def _verbs(allow: object) -> frozenset[Verb]:
    if isinstance(allow, str) or not isinstance(allow, Iterable):
        raise UsageError(f'allow is a set of verbs: {{"read"}}, not {allow!r}')
    verbs: frozenset[Any] = frozenset(allow)
    if not verbs <= VERBS or "read" not in verbs:
        known = ", ".join(map(repr, get_args(Verb)))
        raise UsageError(f"allow has 'read', and any of {known}, not {sorted(map(str, verbs))}")
    return verbs

"""What a head says besides its branches, as a redaction leaves it: summary, sessions, effects."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from perdure.core.claims import claimed_of, claims_of
from perdure.core.codec import pack, unpack
from perdure.core.head import Claim, Head
from perdure.core.page import Ref
from perdure.core.redaction import Redactor
from perdure.core.tree import build
from perdure.engine.claimed import RESULT, result_of
from perdure.engine.read import Site
from perdure.engine.replaying import whole_tree
from perdure.engine.requests import Steps
from perdure.engine.rewriting import Rewriting

_ABOUT, _RESULT, _BY = (
    Claim.__struct_fields__.index("about"),
    Claim.__struct_fields__.index("result"),
    Claim.__struct_fields__.index("by"),
)


class Rest:
    """The parts of a head in which there may be texts, gone over once.

    `pages` are those of claims, which are kept twice.
    """

    def __init__(self, site: Site, head: Head, redactor: Redactor, rewriting: Rewriting) -> None:
        self._site, self._redactor, self._rewriting = site, redactor, rewriting
        self.old = head
        self.pages: dict[bytes, bytes] = {}
        self.keys: list[str] = []
        """Effect keys that have what is looked for: they stay, as by them nothing happens twice."""

    def head(self) -> Steps[Head]:
        """The head as it becomes; the same if that stays."""
        old = self.old
        if not self._redactor.is_everywhere:
            return old
        head = replace(old, summary=self._redactor.maybe(old.summary), marks=self._marks())
        self._note(head, old)
        claims = yield from self._claims()
        if claims != claims_of(old):
            head = replace(head, claims=claims)
        claimed = yield from self._claimed()
        if claimed != claimed_of(old):
            head = replace(head, claimed=UNSET if claimed is None else claimed)
        return head

    def _note(self, head: Head, old: Head) -> None:
        elsewhere = self._rewriting.elsewhere
        elsewhere["summaries"] += head.summary != old.summary
        elsewhere["sessions"] += head.marks != old.marks

    def _marks(self) -> tuple[Any, ...]:
        return tuple(
            replace(
                each,
                error=self._redactor.maybe(each.error),
                branch=self._rewriting.branch(each.branch),
            )
            for each in self.old.marks
        )

    def _claims(self) -> Steps[dict[str, Claim]]:
        found: dict[str, Claim] = {}
        for key, claim in claims_of(self.old).items():
            self._look_at(key)
            text = self._redactor.maybe
            new = replace(claim, about=text(claim.about), by=text(claim.by))
            if claim.kept is not None:
                new = replace(new, kept=(yield from self._kept(claim)))
            elif claim.result is not None:
                new = replace(new, result=self._result(claim.result))
            self._rewriting.elsewhere["effects"] += new != claim
            found[key] = new
        return found

    def _kept(self, claim: Claim) -> Steps[Ref | None]:
        """The tree of a large result."""
        value = yield from result_of(self._site, self.old, claim)
        new = self._redactor.whole(value)
        if new is value:
            return claim.kept
        built = build({RESULT: pack(new)}, self.old.secret)
        self.pages.update(built.pages)
        return built.root

    def _result(self, packed: bytes) -> bytes:
        value = unpack(packed)
        new = self._redactor.whole(value)
        return packed if new is value else pack(new)

    def _claimed(self) -> Steps[Ref | None]:
        """The tree of claims that the head has no room for."""
        root = claimed_of(self.old)
        if root is None:
            return None
        old = yield from whole_tree(self._site, self.old, root)
        new = {key: self._wire(key, wire) for key, wire in old.items()}
        changed = sum(new[key] is not wire for key, wire in old.items())
        if not changed:
            return root
        self._rewriting.elsewhere["effects"] += changed
        built = build(new, self.old.secret)
        self.pages.update(built.pages)
        return built.root

    def _wire(self, key: str, wire: list[Any]) -> list[Any]:
        self._look_at(key)
        found = list(wire)
        for at in (_ABOUT, _BY):
            if at < len(wire):
                found[at] = self._redactor.maybe(wire[at])
        if len(wire) > _RESULT and wire[_RESULT] is not None:
            found[_RESULT] = self._result(wire[_RESULT])
        return wire if found == wire else found

    def _look_at(self, key: str) -> None:
        if self._redactor.has(key):
            self.keys.append(key)


def told_of_names(site: Site, names: Collection[str], rest: Rest, redactor: Redactor) -> list[str]:
    """What has what is looked for, and keeps it."""
    found = []
    if redactor.is_everywhere and redactor.has(site.key):
        found.append("the key of the state itself has it: `copy` it under another one and `erase`")
    if redactor.is_everywhere:
        found += [
            f"the name of the branch {name!r} has it: rename the branch, then redact again"
            for name in names
            if redactor.has(name)
        ]
    found += [f"the key of the effect {key!r} has it, and stays (P9)" for key in rest.keys]
    return found

"""Secrets in what is stored already, or comes whole: by a copy, or from a file."""

from __future__ import annotations

from typing import Any

from perdure.core.changes import Change
from perdure.core.head import Branch, Head
from perdure.core.paths import format_path
from perdure.engine.read import Site
from perdure.engine.requests import Steps
from perdure.engine.search import Look, in_copy
from perdure.engine.states import Check
from perdure.errors import SecretFound
from perdure.secrets.policy import Secrets
from perdure.secrets.screen import detector_of
from perdure.secrets.walk import found_in, found_in_changes, texts_in
from perdure.types import FoundSecret


class Found:
    """The secrets that were found, each place once."""

    def __init__(self, policy: Secrets) -> None:
        self._detector = detector_of(policy)
        self._places: dict[FoundSecret, None] = {}

    def of(self, key: str) -> Look:
        """What looks at the contents of one state."""

        def look(
            branch: str | None, number: int | None, content: list[Change] | dict[str, Any]
        ) -> None:
            if isinstance(content, list):
                places = found_in_changes(self._detector, content)
            elif self._detector.has_own or self._detector.is_suspect("\n".join(texts_in(content))):
                places = [*found_in(self._detector, content, ())]
            else:
                places = []
            for path, kind in places:
                self._places[FoundSecret(key, kind, path, branch, number)] = None

        return look

    def told(self) -> list[FoundSecret]:
        """All of them, in the order in which they were found."""
        return list(self._places)

    def require_none(self, *, masks: bool, way_out: str) -> None:
        """Refuse what comes whole if there are secrets in it.

        Args:
            masks: whether the policy is to mask them, which it cannot here.
            way_out: what to do about it.

        Raises:
            SecretFound: there are.
        """
        found = self.told()
        if not found:
            return
        first = found[0]
        at = f" of checkpoint {first.number}" if first.number is not None else ""
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        why = "; what comes with its history is not masked: its hashes say what was saved"
        raise SecretFound(
            f"{format_path(first.path)}{at} holds what looks like a secret: {first.kind}{more}. "
            f"Nothing was written{why if masks else ''}. {way_out}; perdure.Secrets(allow=…) says "
            "what is none",
            found=found,
        )


def none_copied(policy: Secrets) -> Check:
    """What refuses to copy a state with a secret anywhere in what the copy would have."""

    def check(site: Site, head: Head, name: str, tip: Branch) -> Steps[None]:
        found = Found(policy)
        yield from in_copy(site, head, name, tip, found.of(site.key))
        way_out = f"Redact it first: store.redact({site.key!r}, …), or perdure redact"
        found.require_none(masks=policy.action == "mask", way_out=way_out)

    return check


class Arriving:
    """What looks over a state that is imported.

    Args:
        policy: what is taken for a secret.
        key: the key that the state is to have.
    """

    def __init__(self, policy: Secrets, key: str) -> None:
        self._masks = policy.action == "mask"
        self._found = Found(policy)
        self.look = self._found.of(key)

    def require_none(self) -> None:
        """Refuse it if there was a secret in it.

        Raises:
            SecretFound: there was.
        """
        way_out = (
            "Redact it where it was exported, and export it again; or import it into a store that "
            "has no policy about secrets, and redact it there"
        )
        self._found.require_none(masks=self._masks, way_out=way_out)

"""What stands between edits and their save, where a store has a policy about secrets."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from perdure.core.codec import pack, unpack
from perdure.core.paths import Path, format_path
from perdure.core.record import LABEL, METADATA, SUMMARY
from perdure.errors import SecretFound
from perdure.events import log
from perdure.secrets.detector import Detector
from perdure.secrets.policy import Secrets
from perdure.secrets.walk import found_in, found_in_changes, mask_changes, masked
from perdure.types import FoundSecret

if TYPE_CHECKING:
    from perdure.engine.claims import Settling
    from perdure.state.document import Document

NAMED = {LABEL: "label", METADATA: "metadata", SUMMARY: "summary"}
"""What a save says besides its changes, and how its place is told."""


class Screen:
    """Looks at what one session is about to save."""

    def __init__(self, policy: Secrets, key: str) -> None:
        self._masks = policy.action == "mask"
        self._detector = detector_of(policy)
        self._key = key

    def look(
        self, document: Document, extra: dict[str, Any], settles: tuple[Settling, ...]
    ) -> tuple[tuple[Settling, ...], tuple[FoundSecret, ...]]:
        """Refuse what is about to be captured, or mask it, if there are secrets in it.

        Args:
            document: what is live.
            extra: what the save says besides; masked in place.
            settles: results of effects.

        Returns:
            The results as they are to be kept, and what was masked.

        Raises:
            SecretFound: there is one, and nothing is masked, or it cannot be.
        """
        changes = document.changed()
        found = found_in_changes(self._detector, changes, document.sections)
        for name, value in extra.items():
            found += found_in(self._detector, value, (NAMED.get(name, name),))
        results = [unpack(each.result) for each in settles]
        for each, result in zip(settles, results):
            found += found_in(self._detector, result, ("effects", each.key, "result"))
        if not found:
            return settles, ()
        told = tuple([FoundSecret(self._key, kind, path) for path, kind in dict.fromkeys(found)])
        names = {str(change.path[0]) for change in changes if len(change.path) == 1}
        if not self._masks or any(self._detector.spans(name) for name in names):
            raise refusal(told, can_mask=not self._masks)
        with document.mending():
            mask_changes(self._detector, changes, document.sections)
        document.show()
        for name in extra:
            extra[name] = masked(self._detector, extra[name])
        kept = [pack(masked(self._detector, each)) for each in results]
        for secret in told:
            log.warning("%s: masked: %s at %s", self._key, secret.kind, format_path(secret.path))
        return tuple([replace(each, result=new) for each, new in zip(settles, kept)]), told


def kept(policy: Secrets, key: str, value: Any, path: Path) -> Any:
    """A plain value as a state may keep it.

    Raises:
        SecretFound: there is a secret in it, and nothing is masked.
    """
    detector, masks = detector_of(policy), policy.action == "mask"
    found = [FoundSecret(key, kind, where) for where, kind in found_in(detector, value, path)]
    if found and not masks:
        raise refusal(tuple(found), can_mask=True)
    return masked(detector, value) if found else value


def refusal(found: tuple[FoundSecret, ...], *, can_mask: bool) -> SecretFound:
    """The error that says where, and never what."""
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    way_out = ', or open the store with secrets="mask"' if can_mask else ""
    return SecretFound(
        f"{format_path(first.path)} holds what looks like a secret: {first.kind}{more}. Nothing "
        f"was saved or lost: take it out{way_out}; perdure.Secrets(allow=…) says what is none",
        found=found,
    )


def detector_of(policy: Secrets) -> Detector:
    """The detector of a policy; each is made once."""
    patterns = tuple(policy.patterns.items())
    return _detector(patterns, tuple(policy.allow), tuple(policy.plugins), policy.builtin)


@cache
def _detector(
    patterns: tuple[tuple[str, str], ...],
    allow: tuple[str, ...],
    plugins: tuple[str, ...],
    builtin: bool,
) -> Detector:
    return Detector(Secrets(patterns=dict(patterns), allow=allow, plugins=plugins, builtin=builtin))

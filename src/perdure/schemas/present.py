"""What `perdure schema versions` tells: the versions of schemas that are in a store."""

from __future__ import annotations

import msgspec


class SchemaVersion(msgspec.Struct, frozen=True):
    """A version of a schema, and how many states are in it."""

    schema: str | None
    """The name of the schema; None: states that no typed session has saved."""
    version: int | None
    states: int
    """How many states are in it; one of several schemas counts for each."""
    example: str
    """The key of one of them."""


class UnreadableState(msgspec.Struct, frozen=True):
    """A state that could not be read."""

    key: str
    problem: str


class Census:
    """Counts states by schema and version.

    Example:
        >>> census = Census()
        >>> census.add("a", {"Plan": 2})
        >>> census.versions()
        [SchemaVersion(schema='Plan', version=2, states=1, example='a')]
    """

    def __init__(self) -> None:
        self._found: dict[tuple[str, int] | None, tuple[int, str]] = {}

    def add(self, key: str, versions: dict[str, int]) -> None:
        """Count a state, in these versions by name of the schema."""
        kinds: list[tuple[str, int] | None] = [*versions.items()]
        for kind in kinds or [None]:
            states, example = self._found.get(kind, (0, key))
            self._found[kind] = (states + 1, example)

    def versions(self) -> list[SchemaVersion]:
        """What was counted, by name and version, states without a schema last."""
        order = sorted(self._found, key=lambda kind: (kind is None, kind or ("", 0)))
        return [self._version(kind) for kind in order]

    def _version(self, kind: tuple[str, int] | None) -> SchemaVersion:
        name, version = kind or (None, None)
        states, example = self._found[kind]
        return SchemaVersion(name, version, states, example)

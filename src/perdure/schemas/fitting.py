"""Whether what migrations made can be read by the schema that they lead to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from perdure.core.paths import format_path
from perdure.errors import MigrationFailed
from perdure.schemas.annotations import kind_of


def require_fit(cls: type, migrated: Mapping[str, Any], names: Iterable[str]) -> None:
    """See to it that sections are of the types that a schema says.

    What does not fit would be met by the first agent that reads it, long after a look that said
    all would go well.

    Args:
        cls: the schema.
        migrated: the sections after the migrations.
        names: of those that these read or made; any others are none of their doing.

    Raises:
        MigrationFailed: a value does not fit; `path` says where it is.
        UsageError: the class cannot be a schema.
    """
    kind = kind_of(cls)
    for name in names:
        inner = kind.child(name)
        problem = None if inner is None else inner.problem(migrated[name], (name,))
        if problem is not None:
            raise MigrationFailed(
                f"{format_path(problem.path)}: what the migrations make does not fit the schema: "
                f"{problem}. Mend the migration, or the stored value, or let the schema allow it; "
                "without a schema the state opens as it is stored",
                path=problem.path,
            )

"""Leases in a head: which session alone may save to a branch.

A lease stands under the name of its branch, not with where that is: a branch that is parked can be
held, and a commit that names the owner of a lease says nothing of when it was renewed.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from perdure.core.head import Head, Lease


def leases_of(head: Head) -> dict[str, Lease]:
    """Every lease, by branch."""
    return {} if isinstance(head.leases, msgspec.UnsetType) else head.leases


def lease_of(head: Head, branch: str) -> Lease | None:
    """The lease of a branch."""
    return leases_of(head).get(branch)


def owner_of(head: Head, branch: str) -> bytes | None:
    """Id of the session that holds a branch, dead or alive."""
    lease = lease_of(head, branch)
    return lease.id if lease is not None else None


def with_lease(head: Head, branch: str, lease: Lease) -> Head:
    """The head in which a branch is held so."""
    return replace(head, leases={**leases_of(head), branch: lease})


def without_lease(head: Head, branch: str) -> Head:
    """The head in which nobody holds a branch."""
    left = {name: lease for name, lease in leases_of(head).items() if name != branch}
    return replace(head, leases=left or msgspec.UNSET)

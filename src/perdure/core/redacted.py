"""A redacted record: its content is another one by now, and the chain keeps the leaf it was.

Its canonical bytes are an array of six, `[id, time, session, changes, extra, leaf]`: what stands
there instead, and what the chain committed to before. So every later hash is as it was. What binds
the new content is the receipt of the redaction, in the journal. See
`docs/design/0029-redaction.md`.
"""

from __future__ import annotations

HASH_BYTES = 32
_USUAL, REDACTED_ARRAY = b"\x95", b"\x96"
"""What an array of five, and one of six, begins with."""
_LEAF = b"\xc4" + bytes((HASH_BYTES,))
"""What the bytes of a leaf begin with, as a value."""
_TAIL_BYTES = len(_LEAF) + HASH_BYTES


def is_redacted(canonical: bytes) -> bool:
    """Whether these are the canonical bytes of a redacted record."""
    return canonical.startswith(REDACTED_ARRAY)


def kept_leaf(canonical: bytes) -> bytes | None:
    """The leaf that a redacted record keeps; None: it is not one, or does not end as one does."""
    if not is_redacted(canonical) or canonical[-_TAIL_BYTES:-HASH_BYTES] != _LEAF:
        return None
    return canonical[-HASH_BYTES:]


def with_leaf(canonical: bytes, leaf: bytes) -> bytes:
    r"""The canonical bytes of a redacted record: usual ones, and the leaf that is kept.

    Example:
        >>> marked = with_leaf(b"\x95...", bytes(32))
        >>> kept_leaf(marked) == bytes(32), without_leaf(marked)
        (True, b'\x95...')
    """
    return REDACTED_ARRAY + canonical[len(_USUAL) :] + _LEAF + leaf


def without_leaf(canonical: bytes) -> bytes:
    """The usual canonical bytes of what a redacted record holds: for a chain that begins anew."""
    if not is_redacted(canonical):
        return canonical
    return _USUAL + canonical[len(REDACTED_ARRAY) : -_TAIL_BYTES]

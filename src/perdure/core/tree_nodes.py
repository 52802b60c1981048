"""The nodes of a tree that is being edited: each a list, map or text, as its pages of content.

Only pages that a change touches are read, and cut anew from there until a cut falls where one fell
before. All of it is in pieces.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from perdure import limits
from perdure.core.page import Child, Ref, Shape, packed_keys, read_block, read_list, read_map
from perdure.core.pieces import Pieces
from perdure.core.sums import Sums
from perdure.core.tree import Builder, Entries
from perdure.core.tree_read import PAGES_AT_ONCE, Reading, all_leaves, read_value
from perdure.core.tree_run import Run


def open_map(ref: Ref, builder: Builder, inline_bytes_max: int) -> Reading[Node]:
    """A map, to be edited: what it is made of is known then, and read when it is touched.

    Args:
        ref: its tree.
        builder: makes the pages.
        inline_bytes_max: of its values, the longest that is not a tree of its own (bytes).
    """
    node = _Map(ref, builder, inline_bytes_max)
    yield from node.open()
    return node


class Node:
    """A tree that is being edited: its pages of content in order."""

    def __init__(self, ref: Ref, builder: Builder, inline_bytes_max: int) -> None:
        self.ref = ref
        self.builder = builder
        self.inline_bytes_max = inline_bytes_max
        """Of the values in it: the longest that is not a tree of its own."""
        self.runs: list[Run] = []

    def open(self) -> Reading[None]:
        """Read which pages of content there are."""
        for leaf in (yield from all_leaves(self.ref)):
            self.runs.append(Run(leaf))
            if self.builder.meter.is_full():
                yield ()

    def load(self, *runs: Run) -> Reading[None]:
        """Read the content of pages that were not read yet."""
        missing = [run for run in runs if run.content is None]
        for start in range(0, len(missing), PAGES_AT_ONCE):
            some = missing[start : start + PAGES_AT_ONCE]
            payloads = yield tuple(run.ref.id for run in some if run.ref is not None)
            for run in some:
                if run.ref is not None:
                    run.content = self.read(payloads[run.ref.id], run.ref)
                    yield ()

    def children(self) -> Reading[list[Child]]:
        """The pages of content, cut anew where something changed."""
        children: list[Child] = []
        pending: Any = None
        for run in self.runs:
            if pending is None and not run.is_changed and run.ref is not None:
                ref = run.ref
                children.append(Child(ref.id, ref.count, ref.bytes, ref.trees))
                if self.builder.meter.is_full():
                    yield ()
                continue
            yield from self.load(run)
            pending = yield from self.joined(pending, run.content)
            pending = yield from self.cut(pending, children)
        if pending is not None:
            children.append(self.last(pending))
        return children

    def close(self, inline_bytes_max: int) -> Reading[bytes | Ref]:
        """The tree as it stands in the page of what holds it."""
        children = yield from self.children()
        if sum(child.bytes for child in children) > inline_bytes_max:
            return (yield from self.builder.top(self.ref.shape, children))
        # It may fit inline now: decided by its packed length, as when it is built.
        return (yield from self.builder.entry((yield from self.plain()), inline_bytes_max))

    def plain(self) -> Reading[Any]:
        """The whole value."""
        raise NotImplementedError

    def child(self, value: Any) -> Reading[Any]:
        """A value in it, to be edited: a node if it is a tree of its own that changes in parts."""
        if type(value) is not Ref:
            return value
        if value.shape is Shape.WHOLE:
            return (yield from read_value(value))
        node = _NODES[value.shape](value, self.builder, limits.inline_bytes_max)
        yield from node.open()
        return node

    def whole(self, value: Any) -> Reading[Any]:
        """A value in it, plain."""
        if isinstance(value, Node):
            return (yield from value.plain())
        return (yield from read_value(value)) if type(value) is Ref else value

    # ---- what the shapes differ in ----------------------------------------------------------

    def read(self, payload: bytes, ref: Ref) -> Any:
        """The content of a page."""
        raise NotImplementedError

    def joined(self, pending: Any, content: Any) -> Reading[Any]:
        """What is still to be cut, with the content of one more page."""
        raise NotImplementedError

    def cut(self, pending: Any, children: list[Child]) -> Pieces[Any]:
        """Cut whole pages from the front; what is left, or None."""
        raise NotImplementedError

    def last(self, pending: Any) -> Child:
        """What is left after the last cut, as a page."""
        raise NotImplementedError

    def get(self, part: str | int) -> Reading[Any]:
        """The value at `part`: a node, or a plain value that has to be `put` when it was edited."""
        raise LookupError(f"there is no {part!r} in it")
        yield

    def put(self, part: str | int, value: Any) -> Reading[None]:
        """Set the value at `part`."""
        raise LookupError(f"there is no {part!r} in it")
        yield

    def remove(self, part: str | int) -> Reading[None]:
        """Delete the key `part`."""
        raise LookupError("it is not a mapping")
        yield

    def splice(self, start: int, removed: int, items: Any) -> Reading[None]:
        """Replace a run of it."""
        raise LookupError("it is neither a list nor a text")
        yield


class _Entried(Node):
    """A tree of items or pairs."""

    def joined(self, pending: Entries | None, content: Any) -> Reading[Entries]:
        entries = pending or Entries()
        pairs = content.items() if isinstance(content, Mapping) else ((None, v) for v in content)
        for key, value in pairs:
            if type(value) is Ref:
                entries.add(key, value)
            elif isinstance(value, Node):
                entries.add(key, (yield from value.close(self.inline_bytes_max)))
            else:
                yield from self.builder.add(entries, key, value, self.inline_bytes_max)
        return entries

    def cut(self, pending: Entries, children: list[Child]) -> Pieces[Entries | None]:
        start, end = 0, len(pending.packed)
        while count := (yield from self.builder.cut(pending, start)):
            part = pending.part(start, start + count)
            children.append(self.builder.leaf(part, self.ref.shape))
            start += count
            yield ()
        return pending.part(start, end) if start < end else None

    def last(self, pending: Entries) -> Child:
        return self.builder.leaf(pending, self.ref.shape)


class _Map(_Entried):
    def read(self, payload: bytes, ref: Ref) -> dict[str, Any]:
        return read_map(payload, ref)

    def get(self, part: str | int) -> Reading[Any]:
        run = yield from self._holder(part)
        if run is None:
            raise LookupError(f"there is no {part!r} in it")
        value = run.content[part] = yield from self.child(run.content[part])
        run.is_changed = True
        return value

    def put(self, part: str | int, value: Any) -> Reading[None]:
        if not isinstance(part, str):
            raise LookupError("it is not a list")
        run = yield from self._holder(part)
        if run is None:
            if not self.runs:
                self.runs.append(Run(None, {}))
            run = self.runs[-1]
            yield from self.load(run)
        run.content[part] = value
        run.set(run.content)

    def remove(self, part: str | int) -> Reading[None]:
        run = yield from self._holder(part)
        if run is None:
            raise LookupError(f"there is no {part!r} in it")
        del run.content[part]
        run.set(run.content)

    def _holder(self, key: str | int) -> Reading[Run | None]:
        """The page that holds a key; a key has no position, so all may have to be looked at.

        Of those that lack it no value is decoded, and only their keys are known again: a new key of
        a large map would keep all of the map.
        """
        for run in self.runs:
            if run.content is not None and key in run.content:
                return run
        asked = [
            (run, run.ref)
            for run in self.runs
            if run.content is None and run.ref is not None and run.may_hold(key)
        ]
        for start in range(0, len(asked), PAGES_AT_ONCE):
            some = asked[start : start + PAGES_AT_ONCE]
            payloads = yield tuple(ref.id for _, ref in some)
            found: Run | None = None
            for run, ref in some:
                run.know(packed_keys(payloads[ref.id], ref))
                if run.may_hold(key):
                    run.content = self.read(payloads[ref.id], ref)
                    if key in run.content:
                        found = run
                    else:
                        run.content = None
                yield ()
            if found is not None:
                return found
        return None

    def plain(self) -> Reading[dict[str, Any]]:
        yield from self.load(*self.runs)
        pairs: dict[str, Any] = {}
        for run in self.runs:
            for key, value in run.content.items():
                pairs[key] = yield from self.whole(value)
        return pairs


class _Sequence(Node):
    """What has positions: a list, text or bytes."""

    kind: ClassVar[type[Any]]
    sums: Sums
    """Of the sizes of its pages."""

    def open(self) -> Reading[None]:
        yield from super().open()
        self.runs = self.runs or [Run(None, self.kind())]
        self.sums = Sums(run.size for run in self.runs)

    def splice(self, start: int, removed: int, items: Any) -> Reading[None]:
        end, made = start + removed, len(items)
        if type(items) is not self.kind:
            raise LookupError(f"it is a {self.kind.__name__}")
        if not 0 <= start <= end <= self.sums.total:
            raise LookupError("it ends before that")
        index, begins = self.sums.find(start)
        here = min(end - begins, self.runs[index].size)
        yield from self._replace(index, start - begins, here, items)
        left, ends = removed - (here - (start - begins)), start + made
        while left:
            # What is gone moved nothing before it: the next one begins where the splice ends.
            index, begins = self.sums.find(ends)
            at = ends - begins
            here = min(at + left, self.runs[index].size)
            yield from self._replace(index, at, here, self.kind())
            left -= here - at

    def _replace(self, index: int, start: int, stop: int, items: Any) -> Reading[None]:
        """Replace what one page holds from `start` to `stop`."""
        run = self.runs[index]
        size = run.size
        if stop - start == size:
            run.set(items)  # a page that goes whole is not even read
        else:
            yield from self.load(run)
            run.set(self.spliced(run.content, start, stop, items))
        self.sums.add(index, run.size - size)

    def spliced(self, content: Any, start: int, stop: int, items: Any) -> Any:
        """The content of a page with a part of it replaced; may be the same object."""
        raise NotImplementedError


class _List(_Sequence, _Entried):
    kind = list

    def read(self, payload: bytes, ref: Ref) -> list[Any]:
        return read_list(payload, ref)

    def spliced(self, content: list[Any], start: int, stop: int, items: list[Any]) -> list[Any]:
        content[start:stop] = items
        return content

    def get(self, part: str | int) -> Reading[Any]:
        run, at = yield from self._item(part)
        value = run.content[at] = yield from self.child(run.content[at])
        run.is_changed = True
        return value

    def put(self, part: str | int, value: Any) -> Reading[None]:
        run, at = yield from self._item(part)
        run.content[at] = value
        run.is_changed = True

    def _item(self, part: str | int) -> Reading[tuple[Run, int]]:
        if not isinstance(part, int) or not 0 <= part < self.sums.total:
            raise LookupError(f"there is no {part!r} in it")
        index, begins = self.sums.find(part)
        yield from self.load(self.runs[index])
        return self.runs[index], part - begins

    def plain(self) -> Reading[list[Any]]:
        yield from self.load(*self.runs)
        items: list[Any] = []
        for run in self.runs:
            for value in run.content:
                items.append((yield from self.whole(value)))  # noqa: PERF401 - none yields in one
        return items


class _Blocks(_Sequence):
    """A long text or bytes, in blocks of one length."""

    def read(self, payload: bytes, ref: Ref) -> Any:
        return read_block(payload, ref)

    def spliced(self, content: Any, start: int, stop: int, items: Any) -> Any:
        return content[:start] + items + content[stop:]

    def splice(self, start: int, removed: int, items: Any) -> Reading[None]:
        yield from super().splice(start, removed, items)
        index, _ = self.sums.find(start)
        if self.runs[index].size > 2 * limits.block_max:
            self._split(index)

    def _split(self, index: int) -> None:
        """Hold a long page as several: an edit copies all of the one that it is in."""
        content = self.runs[index].content
        starts = range(0, len(content), limits.block_max)
        blocks = [Run(None, content[at : at + limits.block_max]) for at in starts]
        self.runs[index : index + 1] = blocks
        self.sums = Sums(run.size for run in self.runs)

    def joined(self, pending: Any, content: Any) -> Reading[Any]:
        return content if pending is None else pending + content
        yield

    def cut(self, pending: Any, children: list[Child]) -> Pieces[Any]:
        start = 0
        while len(pending) - start >= limits.block_max:
            children.append(self.last(pending[start : start + limits.block_max]))
            start += limits.block_max
            yield ()
        return pending[start:] if start < len(pending) else None

    def last(self, pending: Any) -> Child:
        return self.builder.block(self.ref.shape, pending, len(pending))

    def plain(self) -> Reading[Any]:
        yield from self.load(*self.runs)
        return self.kind().join(run.content for run in self.runs)


class _Text(_Blocks):
    kind = str


class _Bytes(_Blocks):
    kind = bytes


_NODES: dict[Shape, type[Node]] = {
    Shape.LIST: _List,
    Shape.MAP: _Map,
    Shape.TEXT: _Text,
    Shape.BYTES: _Bytes,
}

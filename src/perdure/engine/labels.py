"""Which labels the checkpoints of a state have, on whatever branch, or left by one."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from perdure.core.head import Head
from perdure.core.record import LABEL
from perdure.engine.lines import every_span
from perdure.engine.past import every_run
from perdure.engine.read import Site, as_of_now, joined, read_line
from perdure.engine.requests import Run, Steps

_LOOK = 1024
"""Records looked through at a time."""


def unknown_labels(site: Site, labels: Collection[str]) -> Steps[tuple[str, ...]]:
    """Those of these labels that no checkpoint has; records are read until all were met.

    Raises:
        StateNotFound: there is no such state.
        Damaged: a record cannot be read.
    """
    if not labels:
        return ()
    site = site.stored()
    return (yield from as_of_now(site, partial(_unknown, site, labels)))


def _unknown(site: Site, labels: Collection[str], head: Head) -> Steps[tuple[str, ...]]:
    missing = set(labels)
    tips = [tip for _, tip in (yield from every_run(site, head))]
    told = yield from every_span(site, head, tips)
    for run in joined(run for some in told for run in some):
        for first in range(run.first, run.last + 1, _LOOK):
            part = Run(run.line, first, min(first + _LOOK - 1, run.last))
            for record in (yield from read_line(site, head, part)):
                missing.discard(record.extra.get(LABEL, ""))
            if not missing:
                return ()
    return tuple(each for each in dict.fromkeys(labels) if each in missing)

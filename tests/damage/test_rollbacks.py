"""Genuine older copies that are put back are told of by an anchor, and by nothing else (P5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.damage.small import OPTIONS

import perdure
from perdure.testing.rollbacks import ROLLBACKS, Make, check_rollbacks

Told = Callable[[str], None]


def made(kind: str) -> Make:
    def make(path: Path, anchor: Path | None) -> perdure.Store:
        return perdure.Store(path, anchor=anchor, maintenance="off", **OPTIONS[kind])

    return make


@pytest.mark.parametrize("kind", sorted(OPTIONS))
def test_every_rollback_is_met_with_an_anchor_P5(kind: str, tmp_path: Path, tell: Told) -> None:
    met = check_rollbacks(made(kind), tmp_path)
    assert list(met) == [each.name for each in ROLLBACKS]
    tell(f"{len(met)}: {dict(Counter(met.values()))}")
    assert Counter(met.values()) == {"older": 2, "missing": 2, "moved": 1, "replaced": 2}


@pytest.mark.parametrize(
    ("blind", "missed"),
    [
        ("perdure.anchors.backend.AnchoredBackend._check", "store: an older copy: nobody"),
        ("perdure.anchors.backend.AnchoredBackend._gone_astray", "went on further: nobody"),
    ],
)
def test_an_anchor_that_does_not_look_is_caught(blind: str, missed: str, tmp_path: Path) -> None:
    with (
        patch(blind, lambda *_: None),
        pytest.raises(AssertionError, match=missed),
    ):
        check_rollbacks(made("plain"), tmp_path)

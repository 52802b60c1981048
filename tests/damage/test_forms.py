"""Tampering is met on the way of reading, and told by its form and its place (P5)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.damage.small import OPTIONS

import perdure
from perdure.errors import CheckpointNotFound, Damaged, StateNotFound, Tampered
from perdure.testing.sim_stores import small_world
from perdure.testing.tampering import told_forms

FORMS = {
    "records: a row its middle changed": {"content"},
    "records: the tail cut off": {"truncated"},
    "records: the middle deleted": {"missing"},
    "records: two rows exchanged": {"moved"},
    "records: an older row in place": {"moved"},
    "records: a row from another state": {"content"},
    "records: count changed": {"metadata"},
    "heads: token changed": {"metadata"},
    "heads: an older row in place": {"older"},
    "records: a row beyond the tail": {"older"},
    "perdure: store_id of another length": {"metadata"},
}
KEYED = {
    "records: a forged row": {"forged"},
    "heads: a forged row": {"forged"},
    "heads: a claim removed": {"forged"},
    "perdure: store_id changed": {"content"},
}
"""Those that a store without a key meets in another form, or not at all."""


@pytest.mark.parametrize("kind", sorted(OPTIONS))
def test_each_form_is_named_where_it_is_read_P5(kind: str, tmp_path: Path) -> None:
    def make(path: Path) -> perdure.Store:
        return perdure.Store(path, maintenance="off", **OPTIONS[kind])

    wanted = {**FORMS, **KEYED} if kind == "keyed" else FORMS
    with small_world():
        told = told_forms(make, tmp_path, [*wanted], keyed=kind == "keyed")
    for name, forms in wanted.items():
        errors = told[name]
        assert forms & {each.form for each in errors}, (name, [each.form for each in errors])
        assert all(each.place and each.place.strip("'") for each in errors), name
        if kind == "keyed":
            assert all(isinstance(each, Tampered) for each in errors), (name, errors)


def test_what_is_tampered_is_damaged_for_who_goes_around_it() -> None:
    assert issubclass(Tampered, Damaged)
    assert not issubclass(StateNotFound, Damaged)
    assert not issubclass(CheckpointNotFound, Damaged)

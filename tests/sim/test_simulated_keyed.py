"""The engine on an encrypted store, under simulated schedules: all promises hold."""

import pytest

from perdure.testing.sim_world import Face
from perdure.testing.simulate import FACES, Plan, explore, run_one

KINDS = ("saves", "branches", "merging", "pruning", "fleet", "claims")


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("kind", KINDS)
def test_random_schedules_on_an_encrypted_store_break_no_promise(face: Face, kind: str) -> None:
    options = {kind: True} if kind != "saves" else {}
    report = explore(3, 1_500, Plan((face,), keyed=True, **options))
    assert report.steps >= 1_500


def test_what_is_stored_in_such_a_world_is_encrypted() -> None:
    world = run_one(3, 1, Plan(("transactional",), keyed=True))
    tables = world.backend._tables  # type: ignore[attr-defined]
    blobs = [head.blob for head, _ in tables.heads.values()]
    blobs += [row.blob for lines in tables.records.values() for row in lines]
    assert blobs
    assert all(blob[6] & 0x02 for blob in blobs)
    assert run_one(3, 1, Plan(("transactional",))).commits == world.commits

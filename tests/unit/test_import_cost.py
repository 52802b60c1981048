"""`import perdure` is cheap because what is slow to load is loaded where it is first used."""

import json
import subprocess
import sys

import pytest

SLOW = {
    *("apsw", "asyncio", "backports.zstd", "click", "compression.zstd", "cryptography"),
    *("msgspec", "rich", "sqlite3"),
}


def loaded_by(statement: str) -> set[str]:
    """The modules that `statement` loads in a fresh interpreter."""
    probe = (
        "import json, sys\n"
        "before = set(sys.modules)\n"
        f"{statement}\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-c", probe], capture_output=True, text=True, check=True
    )
    return set(json.loads(run.stdout))


def test_importing_perdure_loads_nothing_slow() -> None:
    loaded = loaded_by("import perdure")
    assert "perdure" in loaded
    assert loaded & SLOW == set()


@pytest.mark.parametrize("module", ["apsw", "asyncio", "click", "msgspec", "rich", "sqlite3"])
def test_the_probe_sees_what_is_slow(module: str) -> None:
    assert module in loaded_by(f"import {module}")


def test_the_sync_store_goes_without_asyncio_and_what_few_calls_need() -> None:
    loaded = loaded_by("import perdure; perdure.Store")
    assert "perdure.store" in loaded
    assert loaded & {"asyncio", "rich", "click", "perdure.aio"} == set()
    few = {"prune", "retain", "merging", "rebase", "ancestors", "blame"}
    assert {f"perdure.engine.{name}" for name in few} & loaded == set()


def test_a_store_without_a_key_loads_nothing_that_opens_one() -> None:
    used = "store = perdure.Store('memory:'); session = store.open('a'); session.state['n'] = 1"
    loaded = loaded_by(f"import perdure; {used}; session.close(); store.states()")
    assert "perdure.store" in loaded
    assert not [name for name in loaded if name.startswith(("cryptography", "perdure.keys"))]
    keyed = loaded_by("import perdure; perdure.Store('memory:', key=bytes(32))")
    assert {"perdure.keys", "cryptography"} <= keyed

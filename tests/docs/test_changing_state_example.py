"""examples/changing_state as it is run: three versions of one agent, in processes of their own."""

import subprocess
import sys
from pathlib import Path

import perdure

EXAMPLE = Path(__file__).parents[2] / "examples" / "changing_state" / "story.py"

TOLD = """\
v1: 'barn owls', ['v1'], notes 'they hunt at night'
v2: 'barn owls', ['v1', 'v2'], budget 4
v1: 'barn owls', ['v1', 'v2', 'v1'], notes 'they hunt at night'
v2: 'barn owls', ['v1', 'v2', 'v1', 'v2'], budget 3
v3: ['barn', 'owls'], ['v1', 'v2', 'v1', 'v2', 'v3'], budget 3
v2: '', ['v1', 'v2', 'v1', 'v2', 'v3', 'v2'], budget 2
v2: refused: SchemaNewer
1
2 migrate Research 1 → 2
3
4
5
6 migrate Research 2 → 3
7
8
"""


def test_three_versions_share_a_state_and_lose_nothing_P10(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "".join(f"{line.rstrip()}\n" for line in ran.stdout.splitlines()) == TOLD
    with perdure.Store(str(tmp_path / "changing.db")) as store:
        state = store.at("story", "main").plain()
    assert state["words"] == ["barn", "owls"]
    assert state["budget"] == 2
    assert [each["author"] for each in state["messages"]] == ["v1", "v2", "v1", "v2", "v3", "v2"]
    assert state["perdure.kept"] == {"notes@2": ["they hunt at night"]}

"""Finding files by patterns, against a plain model, and what must not be found."""

import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.agent.files import find
from perdure.errors import UsageError

NAMES = st.sampled_from(["a", "b.py", "c.md", ".h", ".h.py", "d"])
PARTS = st.sampled_from(["a", "d", "*", "*.py", "?", ".h", ".*", "[ab]*", "**"])


def made(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    return root


def matches(parts: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """What a pattern means, said as shortly as can be."""
    if not parts or not pattern:
        return not parts and not pattern
    name, part = parts[0], pattern[0]
    if name.startswith(".") and not part.startswith("."):
        return part == "**" and len(pattern) > 1 and matches(parts, pattern[1:])
    if part == "**":
        is_file = len(parts) == len(pattern) == 1
        return matches(parts, pattern[1:]) or matches(parts[1:], pattern) or is_file
    return fnmatchcase(name, part) and matches(parts[1:], pattern[1:])


def test_files_are_found_by_patterns_in_order(tmp_path: Path) -> None:
    made(tmp_path, "b.py", "a.py", "src/x.py", "src/deep/y.py", "src/deep/z.md", "other/x.py")
    assert list(find(tmp_path, ["src/**/*.py", "*.py"])) == [
        *("a.py", "b.py", "src/deep/y.py", "src/x.py")
    ]
    assert list(find(tmp_path, ["src/**"])) == ["src/deep/y.py", "src/deep/z.md", "src/x.py"]
    assert find(tmp_path, ["a.py"])["a.py"].st_size == 4
    assert find(tmp_path, []) == find(tmp_path / "nowhere", ["**"]) == {}


@given(st.lists(st.lists(NAMES, min_size=1, max_size=4), max_size=8), st.lists(PARTS, min_size=1))
def test_what_is_found_is_what_matches(paths: list[list[str]], pattern: list[str]) -> None:
    with TemporaryDirectory() as directory:
        root, files = Path(directory), set()
        for parts in paths:
            path = root.joinpath(*parts)
            if any(each.is_file() for each in path.parents) or path.is_dir():
                continue
            made(root, "/".join(parts))
            files.add("/".join(parts))
        expected = {each for each in files if matches(tuple(each.split("/")), tuple(pattern))}
        assert set(find(root, ["/".join(pattern)])) == expected


@pytest.mark.parametrize("pattern", ["/etc/*", "../*", "a/../../*", "C:/x", ""])
def test_what_leads_out_of_the_root_is_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(UsageError, match="no pattern of files below the root"):
        find(tmp_path, [pattern])


def test_links_to_files_are_followed_and_links_to_directories_are_not(tmp_path: Path) -> None:
    made(tmp_path, "a/x.py")
    (tmp_path / "a" / "round").symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "link.py").symlink_to(tmp_path / "a" / "x.py")
    (tmp_path / "broken.py").symlink_to(tmp_path / "nowhere")
    assert list(find(tmp_path, ["**/*.py"])) == ["a/x.py", "link.py"]


HANDLES = """
import os, sys
from pathlib import Path
from perdure.agent.files import find
before = os.open(sys.argv[1], os.O_RDONLY)
find(Path(sys.argv[1]), ["**/*.py"])
print(os.open(sys.argv[1], os.O_RDONLY) - before)
"""


def test_no_handle_is_left_open(tmp_path: Path) -> None:
    made(tmp_path, *(f"d{at}/x.py" for at in range(20)))
    # In a process of its own, in which nothing else opens or closes any meanwhile.
    told = subprocess.check_output([sys.executable, "-c", HANDLES, str(tmp_path)], text=True)
    assert int(told) == 1

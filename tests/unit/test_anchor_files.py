"""The file of an anchor: one process writes at a time, and what a crash left is cut off."""

from __future__ import annotations

import threading
from pathlib import Path

from perdure.anchors import FileAnchor


def test_nobody_writes_while_another_does(tmp_path: Path) -> None:
    file = tmp_path / "safe.anchor"
    one, other = FileAnchor(file), FileAnchor(file)
    one.put("a", b"1")
    before = file.read_bytes()
    writing = threading.Thread(target=other.put, args=("b", b"1"))
    with one._locked():
        writing.start()
        writing.join(0.3)
        assert writing.is_alive() and file.read_bytes() == before
    writing.join(10)
    assert FileAnchor(file).names() == ["a", "b"]


def test_what_a_crash_left_of_an_entry_goes_with_the_next(tmp_path: Path) -> None:
    file = tmp_path / "safe.anchor"
    FileAnchor(file).put("a", b"1")
    whole = file.read_bytes()
    file.write_bytes(whole + b"\0\0\xff\xff" + bytes(500))  # longer than what comes next
    FileAnchor(file).put("b", b"1")
    after = file.read_bytes()
    assert after.startswith(whole) and len(after) < len(whole) + 100
    assert FileAnchor(file).names() == ["a", "b"]

"""What README and guide show is what happens: every snippet runs, every output is compared.

The snippets of a file run in order, in one namespace and one empty directory:

- a `python` block runs; one whose first line is a comment that names a file (`# agent.py`) is
  saved under that name instead,
- a `text` block right after it is what it prints,
- of a `console` block every line that begins with `$ ` is run, if it calls `perdure` or `python`;
  the lines below it are what it prints.

In expected output `…` stands for what differs from run to run: within a line for any characters,
alone on a line for any lines. Blocks of other kinds (`sh`) are not run.
"""

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "docs/guide.md")
PROGRAMS = ("perdure", "python")

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SAVED_AS = re.compile(r"# ([\w-]+\.py)\n")


@dataclass(frozen=True)
class Block:
    kind: str
    text: str
    line: int
    """Of its first line in the document."""
    follows: bool
    """Whether nothing but blank lines is between it and the block before."""


def blocks_of(markdown: str) -> list[Block]:
    found: list[Block] = []
    end = 0
    for match in FENCE.finditer(markdown):
        line = markdown.count("\n", 0, match.start(2)) + 1
        follows = bool(found) and not markdown[end : match.start()].strip()
        found.append(Block(match[1], match[2], line, follows))
        end = match.end()
    return found


def pattern(expected: str) -> re.Pattern[str]:
    """What output an expected text allows."""
    lines = []
    for line in expected.splitlines(keepends=True):
        if line.strip() == "…":
            lines.append(r"(?:.*\n)*?")
        else:
            lines.append(re.sub("…", ".+", re.escape(line)))
    return re.compile("".join(lines))


def assert_printed(expected: str, printed: str, where: str) -> None:
    printed = "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
    if not pattern(expected).fullmatch(printed):
        pytest.fail(f"{where} shows\n{expected}\nbut this is printed:\n{printed}", pytrace=False)


class Reader:
    """Somebody who tries everything a document shows."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.directory = directory
        self.namespace: dict[str, Any] = {"__name__": "__main__"}

    def run(self, block: Block) -> str:
        """Run a block of Python; what it prints."""
        saved = SAVED_AS.match(block.text)
        if saved:
            (self.directory / saved[1]).write_text(block.text, encoding="utf-8")
            return ""
        # Its own line numbers, so that a traceback points into the document.
        code = compile("\n" * (block.line - 1) + block.text, self.name, "exec")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, self.namespace)
        return printed.getvalue()

    def type(self, block: Block) -> None:
        """Run the commands of a console block and compare what they print."""
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            words = shlex.split(command, comments=True)
            where = f"{self.name}:{block.line}: $ {command}"
            assert words[0] in PROGRAMS, f"{where}: not a command that this test runs"
            # Their own standard output and error, as a terminal mixes them.
            ran = subprocess.run(
                words,
                cwd=self.directory,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=120,
                check=False,
            )
            assert_printed(expected, ran.stdout, where)


def environment() -> dict[str, str]:
    """Ours, with the programs of this Python's environment first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PERDURE_")}
    programs = str(Path(sys.executable).parent)
    return kept | {"PATH": os.pathsep.join([programs, kept.get("PATH", "")]), "COLUMNS": "100"}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_snippets_do_what_the_document_shows(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    reader = Reader(name, tmp_path)
    printed = ""
    for block in blocks_of((ROOT / name).read_text(encoding="utf-8")):
        if block.kind == "console":
            reader.type(block)
        elif block.kind == "text" and block.follows:
            assert_printed(block.text, printed, f"{name}:{block.line}")
            printed = ""
        if block.kind == "python":
            assert not printed, f"{name}:{block.line}: output that is not shown:\n{printed}"
            printed = reader.run(block)
    assert not printed, f"{name}: output that is not shown:\n{printed}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_there_are_snippets_and_outputs(name: str) -> None:
    kinds = [block.kind for block in blocks_of((ROOT / name).read_text(encoding="utf-8"))]
    assert kinds.count("python") >= 2
    assert kinds.count("text") + kinds.count("console") >= 2
    assert set(kinds) <= {"python", "text", "console", "sh"}


@pytest.mark.parametrize(
    ("expected", "printed", "fits"),
    [
        ("saved 1\n", "saved 1\n", True),
        ("saved 1\n", "saved 2\n", False),
        ("saved 1\n", "saved 1\nsaved 2\n", False),
        ("id … saved\n", "id 5f saved\n", True),
        ("id … saved\n", "id saved\n", False),
        ("a\n…\nd\n", "a\nb\nc\nd\n", True),
        ("a\n…\nd\n", "a\nb\nc\n", False),
        ("(1.5)\n", "(1x5)\n", False),
    ],
)
def test_output_is_compared(expected: str, printed: str, fits: bool) -> None:
    assert bool(pattern(expected).fullmatch(printed)) is fits


def test_a_traceback_points_into_the_document(tmp_path: Path) -> None:
    [block] = blocks_of("# Title\n\n```python\n1 / 0\n```\n")
    with pytest.raises(ZeroDivisionError) as raised:
        Reader("page.md", tmp_path).run(block)
    last = raised.traceback[-1]
    assert (str(last.path), last.lineno + 1) == ("page.md", 4)


def test_a_named_block_becomes_a_file(tmp_path: Path) -> None:
    [block, *_] = blocks_of("```python\n# agent.py\nprint(1)\n```\n")
    assert Reader("page.md", tmp_path).run(block) == ""
    assert (tmp_path / "agent.py").read_text() == "# agent.py\nprint(1)\n"

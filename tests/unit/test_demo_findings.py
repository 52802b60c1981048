"""What the demo's agent looks for."""

from pathlib import Path

import pytest

from perdure.demo.findings import FUNCTION_LINES_MAX, MODULES_MAX, SOURCE_BYTES_MAX, modules
from perdure.demo.findings import examine as examine_module


def kinds(source: str) -> list[str]:
    return [each["kind"] for each in examine_module(f'"""Doc."""\n{source}'.encode())]


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("try:\n    pass\nexcept:\n    pass", "bare except"),
        ("def _f(a, b=[]): ...", "mutable default"),
        ("def _f(a, *, b={}): ...", "mutable default"),
        ("_ = lambda: eval('1')", "runs text as code"),
        ("exec('1')", "runs text as code"),
        ("def f(): ...", "no docstring"),
        ("async def f(): ...", "no docstring"),
        ("class C: ...", "no docstring"),
        ("# TODO: this", "left to do"),
        ("def _f(a, b, c, d, e, *, f, g, h, i): ...", "many arguments"),
        ("def _f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX, "long function"),
        ("def _f(:", "not parsed"),
        ("x = '\0'", "not parsed"),
        ("#" * SOURCE_BYTES_MAX, "too large"),
    ],
)
def test_each_smell_is_found(source: str, kind: str) -> None:
    assert kinds(source) == [kind]


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    pass\nexcept OSError:\n    pass",
        "def _f(a, b=(), *, c=None): ...",
        "def f():\n    '''Doc.'''",
        "evaluate('1')",
        "TODO = 1",
        "x = '\\d'",  # a SyntaxWarning, which is not ours to show
    ],
)
def test_what_is_fine_is_left_alone(source: str) -> None:
    assert kinds(source) == []


def test_findings_come_by_line() -> None:
    found = examine_module(b"# TODO\ndef f(x=[]): ...\nclass C: ...\n")
    assert [(each["line"], each["detail"]) for each in found] == [
        (1, "TODO"),
        (1, "module"),
        (2, "f"),
        (2, "f"),
        (3, "C"),
    ]


def test_modules_are_those_worth_auditing(tmp_path: Path) -> None:
    for name in ("b.py", "a/c.py", ".hidden/x.py", "site-packages/x.py", "test/x.py", "note.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "directory.py").mkdir()
    (tmp_path / "broken.py").symlink_to(tmp_path / "nowhere")
    assert modules(tmp_path) == ["a/c.py", "b.py"]


def test_a_large_code_base_is_sampled_evenly(tmp_path: Path) -> None:
    for number in range(2 * MODULES_MAX):
        (tmp_path / f"m{number:04}.py").touch()
    found = modules(tmp_path)
    assert len(found) == MODULES_MAX
    assert found[:3] == ["m0000.py", "m0002.py", "m0004.py"]

"""What the documents name is there: tests, modules, errors, limits, files."""

import ast
import inspect
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import Store, errors
from perdure.cli.app import app
from perdure.demo import commands

ROOT = Path(__file__).parents[2]
INVARIANTS = (ROOT / "docs" / "invariants.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", *sorted(p.name for p in (ROOT / "docs").glob("*.md")))

TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
MODULE = re.compile(r"`((?:core|engine|state|backends)/\w+\.py)`")
ROW = re.compile(r"^\| (?:\*\*)?`(\w+)`(?:\*\*)? \| `([\w-]+)` \| (.+) \|$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:]+)(#[^)]*)?\)")
HEADING = re.compile(r"^## P(\d+) ", re.MULTILINE)


def defined(path: Path) -> set[str]:
    """Names at the top of a module."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return names


def test_every_promise_has_its_section() -> None:
    assert [int(number) for number in HEADING.findall(INVARIANTS)] == list(range(1, 14))


@pytest.mark.parametrize("section", re.split(r"^## ", INVARIANTS, flags=re.MULTILINE)[1:])
def test_a_promise_names_its_proof_or_says_that_there_is_none(section: str) -> None:
    assert TEST.search(section) or "*Not there yet" in section


@pytest.mark.parametrize(("file", "name"), sorted(set(TEST.findall(INVARIANTS))))
def test_a_named_test_is_there(file: str, name: str) -> None:
    assert name.lower().startswith("test")
    assert name in defined(ROOT / file)


@pytest.mark.parametrize("module", sorted(set(MODULE.findall(INVARIANTS))))
def test_a_named_module_is_there(module: str) -> None:
    assert (ROOT / "src" / "perdure" / module).is_file()


def test_names_that_are_not_there_are_found(tmp_path: Path) -> None:
    module = tmp_path / "test_a.py"
    module.write_text("def test_one(): ...\nTestTwo = Machine.TestCase\nclass TestThree: ...\n")
    assert defined(module) == {"test_one", "TestTwo", "TestThree"}


def groups() -> list[type[errors.PerdureError]]:
    return errors.PerdureError.__subclasses__()


def test_the_guide_lists_every_error_in_its_group() -> None:
    section = GUIDE.partition("\n## Errors")[2].partition("\n## ")[0]
    listed = [(name, kind) for name, kind, _ in ROW.findall(section)]
    known = {
        name: each
        for name, each in vars(errors).items()
        if inspect.isclass(each) and issubclass(each, errors.PerdureError)
    }
    assert set(known) - {"PerdureError"} == {name for name, _ in listed}
    assert len(listed) == len(set(listed))
    assert [kind for _, kind in listed] == [known[name].kind for name, _ in listed]
    group: type[errors.PerdureError] | None = None
    for name, _ in listed:
        if known[name] in groups():
            group = known[name]
        assert group is not None
        assert issubclass(known[name], group), f"{name} stands below {group.__name__}"


@pytest.mark.parametrize(
    ("title", "function"),
    [("`Store` and `AsyncStore`", Store.__init__), ("`open`", Store.open)],
    ids=["Store", "open"],
)
def test_the_guide_lists_every_option_with_its_default(
    title: str, function: Callable[..., Any]
) -> None:
    table = GUIDE.partition(f"| option of {title} | default | |\n")[2].partition("\n\n")[0]
    listed = re.findall(r"^\| `(\w+)` \| `(.+?)` \| .+ \|$", table, re.MULTILINE)
    options = {
        name: each.default
        for name, each in inspect.signature(function).parameters.items()
        if each.kind is inspect.Parameter.KEYWORD_ONLY
    }
    assert {name: ast.literal_eval(default) for name, default in listed} == options


def test_the_guide_and_readme_name_every_extra_and_example() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in project["optional-dependencies"]:
        assert f"pip install '.[{extra}]'" in README
        assert f"pip install '.[{extra}]'" in GUIDE
    for example in (ROOT / "examples").glob("*.py"):
        assert f"(examples/{example.name})" in README


@pytest.mark.parametrize("base", [LookupError, TypeError, ValueError])
def test_the_guide_says_which_errors_are_pythons_too(base: type[Exception]) -> None:
    [sentence] = [each for each in GUIDE.split("\n\n") if "are also" in each]
    for name, each in vars(errors).items():
        if not (inspect.isclass(each) and issubclass(each, errors.PerdureError)):
            continue
        if not all(issubclass(one, errors.PerdureError) for one in each.__bases__[1:]):
            assert f"`{name}`" in sentence
    assert f"`{base.__name__}`" in sentence


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    path = ROOT / name if (ROOT / name).is_file() else ROOT / "docs" / name
    for target, _ in LINK.findall(path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def test_anchors_of_the_guide_lead_to_headings() -> None:
    headings = re.findall(r"^#+ (.+)$", GUIDE, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    wanted = re.findall(r"\]\(#([^)]+)\)", GUIDE)
    assert wanted
    assert set(wanted) <= anchors


def test_the_commands_for_the_demos_store_are_those_that_it_prints() -> None:
    shown = re.findall(r"^\.venv/bin/perdure( --store .+)$", README, re.MULTILINE)
    printed = commands("perdure-demo/agents.db", "audit/1")
    assert shown == [each[each.index(" --store") :] for each in printed]


def test_the_guide_names_every_command() -> None:
    section = GUIDE.partition("## Command line")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+)`", section)) | set(re.findall(r"agents\.db (\w+)", section))
    assert set(app.commands) <= named

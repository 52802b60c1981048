"""The repository keeps its own rules: pins, version, paths, and what the pure layers import."""

import ast
import builtins
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import perdure

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src"

PIN = re.compile(r"(?P<name>[a-z0-9-]+)==[^\s;]+(?: ; .+?)?(?P<hashes>(?: --hash=\S+)*)")
HASH = re.compile(r" --hash=sha256:[0-9a-f]{64}")

# Built from parts, so that this file does not hold what it looks for.
HOME_PATH = re.compile("|".join(["/" + "root/", "/" + r"(home|Users)/[\w.-]+/"]).encode())

# core/ and engine/ are functions of their arguments: what reads a clock, chance, files, the network
# or other threads is a request to a driver, and nothing stored is ever imported or executed (P12).
IMPURE = (
    *("asyncio", "concurrent", "multiprocessing", "_thread", "threading", "subprocess", "signal"),
    *("os", "posix", "pathlib", "tempfile", "shutil", "glob", "fcntl", "mmap", "sqlite3", "dbm"),
    *("io.open", "io.open_code", "io.FileIO", "_io", "fileinput", "linecache", "getpass"),
    *("socket", "ssl", "select", "selectors", "socketserver", "http", "urllib", "ftplib"),
    *("time", "random", "secrets", "sched", "logging", "locale", "platform", "ctypes"),
    *("pickle", "_pickle", "marshal", "shelve", "importlib", "pkgutil", "runpy", "code"),
    *("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"),
    *("datetime.date.today", "uuid.uuid1", "uuid.uuid4", "uuid.uuid6", "uuid.uuid7"),
    *("uuid.uuid8", "uuid.getnode", "sys.stdin", "sys.stdout", "sys.stderr"),
    *("builtins.open", "builtins.print", "builtins.input", "builtins.eval", "builtins.exec"),
    *("builtins.compile", "builtins.__import__", "builtins.breakpoint"),
)
LIBRARIES = ("msgspec", "backports.zstd", "compression.zstd")

# What each pure part may import of perdure itself; `import perdure` is the facade, so no part may.
LOWEST = (
    *("perdure.errors", "perdure.limits", "perdure.types", "perdure.reports"),  # plain data
    "perdure.core",
)
LAYERS = {
    "errors.py": LOWEST,
    "limits.py": LOWEST,
    "reports.py": LOWEST,
    "types.py": LOWEST,
    "core": LOWEST,
    "engine": (*LOWEST, "perdure.engine"),
}


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def import_base(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parents = package.split(".")
    base = parents[: len(parents) - node.level + 1]
    return ".".join([*base, node.module] if node.module else base)


def imports(tree: ast.AST, package: str) -> Iterator[tuple[str, str]]:
    """Each name an import binds, with the dotted name that it stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = import_base(node, package)
            for alias in node.names:
                yield alias.asname or alias.name, f"{base}.{alias.name}"


def dotted(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (base := dotted(node.value)):
        return f"{base}.{node.attr}"
    return None


def definitions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def uses(tree: ast.AST, bound: dict[str, str]) -> Iterator[str]:
    """The full dotted name behind each name and attribute that comes from an import or builtins."""
    defined = set(definitions(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and (name := dotted(node)):
            first, _, rest = name.partition(".")
            if first in bound:
                yield f"{bound[first]}.{rest}" if rest else bound[first]
            elif first not in defined and hasattr(builtins, first):
                yield f"builtins.{first}"


def is_allowed(name: str, layer: tuple[str, ...]) -> bool:
    top = name.partition(".")[0]
    if top == "perdure":
        return within(name, layer)
    if top in sys.stdlib_module_names:
        return not within(name, IMPURE)
    return within(name, LIBRARIES)


def impurities(source: Path) -> list[str]:
    """Each import or use in the pure parts below `source` that its layer does not allow."""
    found = []
    for part, layer in LAYERS.items():
        path = source / "perdure" / part
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            tree = ast.parse(file.read_text(encoding="utf-8"))
            package = ".".join(file.relative_to(source).parent.parts)
            imported = list(imports(tree, package))
            names = {name for _, name in imported} | set(uses(tree, dict(imported)))
            refused = {name for name in names if not is_allowed(name, layer)}
            found += [f"{file.relative_to(source).as_posix()}: {name}" for name in sorted(refused)]
    return found


def pins() -> list[re.Match[str]]:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = re.sub(r" \\\n +", " ", text).splitlines()
    matches = [PIN.fullmatch(line) for line in lines]
    assert lines
    assert None not in matches, lines[matches.index(None)]
    return [match for match in matches if match]


def test_every_pin_has_hashes() -> None:
    for pin in pins():
        assert pin["hashes"], pin["name"]
        assert not HASH.sub("", pin["hashes"]), pin["name"]


def test_constraints_hold_no_address() -> None:
    assert "://" not in (ROOT / "constraints.txt").read_text(encoding="utf-8")


def test_every_direct_dependency_is_pinned() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        settings = tomllib.load(file)
    project = settings["project"]
    wanted = settings["build-system"]["requires"] + project["dependencies"]
    for more in (project["optional-dependencies"], settings["dependency-groups"]):
        wanted += [requirement for group in more.values() for requirement in group]
    names = {re.split(r"[^\w.-]", each)[0].lower().replace(".", "-") for each in wanted}
    assert names <= {pin["name"] for pin in pins()}


def test_the_version_is_stated_once() -> None:
    assert importlib.metadata.version("perdure") == perdure.__version__


def test_the_package_is_marked_as_typed() -> None:
    assert (SOURCE / "perdure" / "py.typed").is_file()


def test_no_tracked_file_names_a_home_directory() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    tracked = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    assert ROOT / "pyproject.toml" in tracked
    found = [path for path in tracked if path.is_file() and HOME_PATH.search(path.read_bytes())]
    assert found == []


@pytest.mark.parametrize("start", ["/" + "root/", "/" + "home/ann/", "/" + "Users/ann.b/"])
def test_a_home_directory_is_recognised(start: str) -> None:
    assert HOME_PATH.search(f"venv = {start}project".encode())


def test_the_pure_layers_import_only_what_they_may() -> None:
    assert impurities(SOURCE) == []


@pytest.mark.parametrize(
    ("part", "line", "refused"),
    [
        ("core/a.py", "import os", "os"),
        ("core/a.py", "import os.path as p", "os.path"),
        ("core/deep/a.py", "def f():\n    from time import monotonic", "time.monotonic"),
        ("core/a.py", "from io import open", "io.open"),
        ("core/a.py", "def f(p):\n    return open(p)", "builtins.open"),
        ("core/a.py", "__import__('os')", "builtins.__import__"),
        ("core/a.py", "import importlib", "importlib"),
        ("core/a.py", "import pickle", "pickle"),
        ("core/a.py", "import apsw", "apsw"),
        ("core/a.py", "import sqlite3", "sqlite3"),
        ("core/a.py", "import datetime as dt\ndt.datetime.now(dt.UTC)", "datetime.datetime.now"),
        ("core/a.py", "from datetime import date\ndate.today()", "datetime.date.today"),
        ("core/a.py", "from uuid import uuid4", "uuid.uuid4"),
        ("core/a.py", "import uuid\nuuid.uuid4()", "uuid.uuid4"),
        ("core/a.py", "from perdure.engine import save", "perdure.engine.save"),
        ("core/a.py", "from ..engine.save import append", "perdure.engine.save.append"),
        ("core/a.py", "import perdure", "perdure"),
        ("core/a.py", "from perdure import Store", "perdure.Store"),
        ("engine/a.py", "import random", "random"),
        ("engine/a.py", "import secrets", "secrets"),
        ("engine/a.py", "import socket", "socket"),
        ("engine/a.py", "import threading", "threading"),
        ("engine/a.py", "import asyncio", "asyncio"),
        ("engine/a.py", "import subprocess", "subprocess"),
        ("engine/a.py", "from pathlib import Path", "pathlib.Path"),
        ("engine/a.py", "from perdure.backends import memory", "perdure.backends.memory"),
        ("engine/a.py", "from .. import drive", "perdure.drive"),
        ("types.py", "import apsw", "apsw"),
        ("reports.py", "import apsw", "apsw"),
        ("errors.py", "from perdure.store import Store", "perdure.store.Store"),
        ("limits.py", "import os", "os"),
    ],
)
def test_a_planted_impurity_is_found(tmp_path: Path, part: str, line: str, refused: str) -> None:
    file = tmp_path / "perdure" / part
    file.parent.mkdir(parents=True)
    file.write_text(f"{line}\n", encoding="utf-8")
    assert f"perdure/{part}: {refused}" in impurities(tmp_path)


def test_what_the_pure_layers_need_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "perdure" / "engine" / "a.py"
    file.parent.mkdir(parents=True)
    file.write_text(
        "import hashlib, struct, msgspec\n"
        "from backports import zstd\n"
        "from compression import zstd as newer\n"
        "from datetime import datetime\n"
        "from uuid import UUID\n"
        "from perdure import errors, limits\n"
        "from perdure.core.record import Record\n"
        "from . import requests\n"
        "from ..types import Head\n"
        "def open(key): ...\n"
        "def compress(input): return input.compile\n"
        "def resume(now): return open(now), datetime(2000, 1, 1), UUID(int=0), len('')\n",
        encoding="utf-8",
    )
    assert impurities(tmp_path) == []

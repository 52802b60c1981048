"""What the demo's agent looks for in a Python module."""

from __future__ import annotations

import ast
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FUNCTION_LINES_MAX = 80
ARGUMENTS_MAX = 8
SOURCE_BYTES_MAX = 1_000_000
MODULES_MAX = 300
"""A larger code base is sampled evenly, so that the demo stays short."""

SKIPPED = {"site-packages", "dist-packages", "node_modules", "__pycache__", "test", "tests"}
MARK = re.compile(rb"#.*\b(TODO|FIXME|XXX|HACK)\b")

Finding = dict[str, Any]


def modules(root: Path) -> list[str]:
    """The Python files below `root` worth auditing, at most `MODULES_MAX`, in a fixed order."""
    found = sorted(
        relative.as_posix()
        for path, relative in ((path, path.relative_to(root)) for path in root.rglob("*.py"))
        if not any(part in SKIPPED or part.startswith(".") for part in relative.parts)
        and path.is_file()
        and os.access(path, os.R_OK)
    )
    if len(found) <= MODULES_MAX:
        return found
    return [found[index * len(found) // MODULES_MAX] for index in range(MODULES_MAX)]


def examine(source: bytes) -> list[Finding]:
    """Everything found in a module, by line; a single finding where it cannot be parsed."""
    if len(source) > SOURCE_BYTES_MAX:
        return [finding(0, "too large", f"{len(source):,} bytes: not read")]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the audited code's warnings are its own business
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return [finding(0, "not parsed", type(error).__name__)]
    found = [*marks(source), *(each for node in ast.walk(tree) for each in smells(node))]
    return sorted(found, key=lambda each: (each["line"], each["kind"], each["detail"]))


def finding(line: int, kind: str, detail: str) -> Finding:
    """One thing found, as plain data."""
    return {"line": line, "kind": kind, "detail": detail}


def marks(source: bytes) -> Iterator[Finding]:
    """Comments that say that work was left."""
    for number, line in enumerate(source.splitlines(), start=1):
        if match := MARK.search(line):
            yield finding(number, "left to do", match[1].decode())


def smells(node: ast.AST) -> Iterator[Finding]:
    """What is wrong with one node of the syntax tree, those within it aside."""
    match node:
        case ast.Module():
            if node.body and ast.get_docstring(node) is None:
                yield finding(1, "no docstring", "module")
        case ast.ClassDef():
            yield from undocumented(node)
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            yield from undocumented(node)
            yield from function_smells(node)
        case ast.ExceptHandler(type=None):
            yield finding(node.lineno, "bare except", "catches even KeyboardInterrupt")
        case ast.Call(func=ast.Name(id="eval" | "exec" as name)):
            yield finding(node.lineno, "runs text as code", name)


def undocumented(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Finding]:
    """Whether something public says nothing of itself."""
    if not node.name.startswith("_") and ast.get_docstring(node) is None:
        yield finding(node.lineno, "no docstring", node.name)


def function_smells(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Finding]:
    """What is wrong with a function's size and signature."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if lines > FUNCTION_LINES_MAX:
        yield finding(node.lineno, "long function", f"{node.name}: {lines} lines")
    arguments = len(node.args.args) + len(node.args.kwonlyargs)
    if arguments > ARGUMENTS_MAX:
        yield finding(node.lineno, "many arguments", f"{node.name}: {arguments}")
    for default in [*node.args.defaults, *node.args.kw_defaults]:
        if isinstance(default, ast.List | ast.Dict | ast.Set):
            yield finding(default.lineno, "mutable default", node.name)

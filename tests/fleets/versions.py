"""The three versions of the example package: as wheels in directories, and in this process."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = Path(__file__).parent / "package"
VERSIONS = (1, 2, 3)


class Version:
    """One version, imported from its source: beside others, under a name of its own."""

    def __init__(self, number: int) -> None:
        self.number = number
        name = f"research_agent_{number}"
        folder = PACKAGE / f"v{number}" / "research_agent"
        self.schema: type[Any] = _imported(name, folder / "__init__.py").Research
        acts = _imported(f"{name}.acts", folder / "acts.py")
        self.acts: dict[str, Any] = acts.ACTS
        self.show: Any = acts.show


def _imported(name: str, path: Path) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    inside = [str(path.parent)] if path.name == "__init__.py" else None
    spec = spec_from_file_location(name, path, submodule_search_locations=inside)
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def install(into: Path) -> dict[int, Path]:
    """Build a wheel of each version, and install each into a directory of its own.

    Nothing is asked of a network: hatchling builds in this environment.
    """
    return {number: _installed(number, into) for number in VERSIONS}


def _installed(number: int, into: Path) -> Path:
    source, wheels = into / f"source{number}", into / f"wheel{number}"
    shutil.copytree(PACKAGE / f"v{number}", source, ignore=shutil.ignore_patterns("__pycache__"))
    _run("hatchling", "build", "-t", "wheel", "-d", str(wheels), cwd=source)
    (wheel,) = wheels.glob("*.whl")
    target = into / f"v{number}"
    options = ["--no-index", "--no-deps", "--no-compile", "--quiet", "--disable-pip-version-check"]
    _run("pip", "install", *options, "--target", str(target), str(wheel), cwd=source)
    assert (target / f"research_agent-{number}.0.dist-info").is_dir()
    return target


def _run(module: str, *arguments: str, cwd: Path) -> None:
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

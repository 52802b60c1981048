"""The page on security names errors, forms and tests that there are."""

import re
from pathlib import Path
from typing import get_args

from perdure import errors

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
ATTACKS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.split("## What is met, and how")[1].split("\n## ")[0].splitlines()
    if line.startswith("| ") and not line.startswith(("| attack", "| ---"))
]


def test_each_attack_names_an_error_a_form_and_a_test_that_there_are() -> None:
    assert len(ATTACKS) >= 16
    for attack, form, error, proof in ATTACKS:
        assert form.strip("`") in get_args(errors.Form), attack
        names = re.findall(r"`([A-Z]\w+)`", error)
        assert names, attack
        for name in names:
            assert issubclass(getattr(errors, name), errors.PerdureError), attack
        found = [ROOT / path for path in re.findall(r"`(tests/[\w/.]+)`", proof)]
        assert found, attack
        assert [path for path in found if not path.exists()] == []


def test_each_form_of_tampering_has_an_attack() -> None:
    told = {form.strip("`") for _, form, _, _ in ATTACKS}
    assert set(get_args(errors.Form)) - told == set()


def test_the_policy_is_found_from_the_root() -> None:
    assert "docs/security.md" in (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert "docs/security.md" in (ROOT / "README.md").read_text(encoding="utf-8")

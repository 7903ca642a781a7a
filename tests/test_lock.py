"""constraints.txt locks all that pyproject.toml asks for, and names no place that packages come from."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LOCK = (ROOT / "constraints.txt").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [
    requirement
    for line in (*PROJECT["dependencies"], *(one for many in PROJECT["optional-dependencies"].values() for one in many))
    if (requirement := Requirement(line)).name != "rapt"
]


@pytest.mark.parametrize("wanted", WANTED, ids=str)
def test_each_dependency_is_locked_as_asked_for(wanted: Requirement) -> None:
    name = re.sub(r"[-_.]+", "-", wanted.name).lower()
    found = re.findall(rf"^{name}==(\S+)", LOCK, re.MULTILINE)
    assert found, "run: make lock"
    assert all(wanted.specifier.contains(version) for version in found), "run: make lock"


def test_every_package_has_hashes_and_none_a_place() -> None:
    assert len(re.findall(r"^\S+==.*\\\n    --hash=sha256:", LOCK, re.MULTILINE)) == len(re.findall(r"^\w", LOCK, re.M))
    assert "://" not in LOCK

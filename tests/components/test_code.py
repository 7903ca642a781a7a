"""The code digest moves with all that a step reaches, with nothing else, and costs no import."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("components", "interest", "wire")
PROGRAM = """
import sys
from components.code import code_digest
digest = code_digest(f"components.{sys.argv[1]}.step")
heavy = {"av", "cv2", "kfp", "onnxruntime", "pyarrow", "torch", "transformers"} & set(sys.modules)
print(digest, *sorted(heavy))
"""


@pytest.fixture
def digest(tmp_path: Path) -> Callable[[str], str]:
    """Digest of a step in the copy of our packages that lies in `tmp_path`, by a fresh interpreter."""
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))

    def of(step: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-c", PROGRAM, step],
            env={"PYTHONPATH": str(tmp_path)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    return of


def append(path: Path) -> None:
    with path.open("a") as file:
        file.write("\n_CHANGED = True\n")


def test_a_digest_is_found_without_importing_what_the_step_imports(digest: Callable[[str], str]) -> None:
    for step in ("train", "preprocess_video"):
        assert len(digest(step).split()) == 1, "modules other than ours were imported"


def test_a_change_two_imports_away_moves_the_digest(digest: Callable[[str], str], tmp_path: Path) -> None:
    before = digest("merge_catalogs")
    append(tmp_path / "interest" / "records.py")
    assert digest("merge_catalogs") != before


def test_a_change_in_code_that_the_step_does_not_reach_does_not_move_it(
    digest: Callable[[str], str], tmp_path: Path
) -> None:
    before = digest("merge_catalogs")
    append(tmp_path / "components" / "train" / "step.py")
    append(tmp_path / "interest" / "simulator" / "world.py")
    assert digest("merge_catalogs") == before


def test_an_import_inside_a_function_counts(digest: Callable[[str], str], tmp_path: Path) -> None:
    step = tmp_path / "components" / "merge_catalogs" / "step.py"
    step.write_text(step.read_text() + "\n\ndef late() -> None:\n    from interest.simulator import world\n")
    before = digest("merge_catalogs")
    append(tmp_path / "interest" / "simulator" / "world.py")
    assert digest("merge_catalogs") != before


def test_a_module_that_runs_as_a_process_counts(digest: Callable[[str], str], tmp_path: Path) -> None:
    before = digest("download")
    append(tmp_path / "wire" / "fetch" / "_ytdlp.py")
    assert digest("download") != before

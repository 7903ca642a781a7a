"""What `run_step` does when the store's blobs are damaged or gone, or a step does not keep its promise."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from components.download import step as download
from components.errors import InputMissing, OutputMissing
from components.merge_catalogs import step
from components.runtime import file_digest, run_step
from interest.catalog import Catalog
from interest.records import Video
from wire.objects import ObjectStore, blob_key

STOPS_BEFORE_THE_RECORD = """
import os, signal, sys
from components import runtime
runtime._keep = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
first, second, target = sys.argv[1:]
runtime.run_step("merge_catalogs", inputs={"first": first, "second": second}, outputs={"catalog": target}, params={})
"""


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, str]:
    """Two catalogues whose content no other test has, so that nothing is cached."""
    for name in ("first", "second"):
        video = Video(video_id=name, uri=str(tmp_path), duration_s=1.0)
        Catalog((video,)).write(tmp_path / name)
    return {name: str(tmp_path / name) for name in ("first", "second")}


def merge(inputs: dict[str, str], target: Path) -> dict[str, object]:
    return run_step("merge_catalogs", inputs=inputs, outputs={"catalog": str(target)}, params={})


def forbidden(**_: object) -> None:
    raise AssertionError("the step ran although its result was kept")


def test_a_step_that_was_done_is_not_run_again(
    inputs: dict[str, str], tmp_path: Path, in_object_store_env: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = merge(inputs, tmp_path / "one")
    monkeypatch.setattr(step, "run", forbidden)
    assert merge(inputs, tmp_path / "two") == made
    assert Catalog.read(tmp_path / "two") == Catalog.read(tmp_path / "one")


@pytest.mark.parametrize("harm", ["damaged", "gone"])
def test_a_step_whose_blob_is_harmed_is_run_again_and_mends_it(
    harm: str, inputs: dict[str, str], tmp_path: Path, in_object_store_env: ObjectStore
) -> None:
    store = in_object_store_env
    merge(inputs, tmp_path / "one")
    file = tmp_path / "one" / "videos.jsonl"
    key, size = blob_key(file_digest(file)), file.stat().st_size
    if harm == "damaged":
        store.put_bytes(key, b"x" * size)
    else:
        store.delete(key)
    merge(inputs, tmp_path / "two")
    assert (tmp_path / "two" / "videos.jsonl").read_bytes() == file.read_bytes()
    assert store.get_bytes(key) == file.read_bytes()


def test_a_step_killed_before_its_record_is_not_taken_for_done(
    inputs: dict[str, str], tmp_path: Path, in_object_store_env: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [inputs["first"], inputs["second"], str(tmp_path / "killed")]
    done = subprocess.run([sys.executable, "-P", "-c", STOPS_BEFORE_THE_RECORD, *arguments], env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL
    runs: list[dict[str, object]] = []
    run = step.run
    monkeypatch.setattr(step, "run", lambda **given: runs.append(given) or run(**given))
    merge(inputs, tmp_path / "again")
    assert len(runs) == 1
    assert len(Catalog.read(tmp_path / "again")) == 2


def test_a_step_that_leaves_an_output_out_fails_by_name_and_leaves_no_record(
    inputs: dict[str, str], tmp_path: Path, in_object_store_env: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(step, "run", lambda **_: {})
        with pytest.raises(OutputMissing, match="merge_catalogs ended without writing its output 'catalog'"):
            merge(inputs, tmp_path / "one")
    assert merge(inputs, tmp_path / "two")["videos"] == 2


def test_a_changed_parameter_input_or_content_digest_runs_the_step_again(
    inputs: dict[str, str], tmp_path: Path, in_object_store_env: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[dict[str, object]] = []

    def run(catalog: Path, **given: object) -> dict[str, int]:
        runs.append(given)
        catalog.mkdir()
        return {}

    monkeypatch.setattr(step, "run", run)
    targets = (str(tmp_path / str(number)) for number in range(9))

    def again(params: dict[str, object], digest: str = "") -> int:
        run_step(
            "merge_catalogs", inputs=inputs, outputs={"catalog": next(targets)}, params=params,
            contents={"list_digest": digest},
        )  # fmt: skip
        return len(runs)

    assert [again({"seed": 1}), again({"seed": 1}), again({"seed": 2}), again({"seed": 2}, "a")] == [1, 1, 2, 3]
    Catalog(()).write(Path(inputs["first"]))
    assert again({"seed": 1}) == 4


def test_a_missing_input_is_named(inputs: dict[str, str], tmp_path: Path, in_object_store_env: ObjectStore) -> None:
    with pytest.raises(InputMissing, match=f"input 'second' of merge_catalogs: .* {tmp_path / 'gone'};"):
        merge({**inputs, "second": str(tmp_path / "gone")}, tmp_path / "one")


def test_an_object_that_was_overwritten_runs_the_step_again(
    tmp_path: Path, in_object_store_env: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, key, read = in_object_store_env, f"lists/{tmp_path.name}.csv", []

    def run(videos: str, catalog: Path) -> dict[str, int]:
        read.append(store.get_bytes(store.key(videos)))
        catalog.mkdir()
        return {}

    monkeypatch.setattr(download, "run", run)
    for number, content in enumerate((b"one", b"one", b"two")):
        store.put_bytes(key, content)
        target = str(tmp_path / str(number))
        run_step("download", inputs={}, outputs={"catalog": target}, params={"videos": store.uri(key)})
    assert read == [b"one", b"two"]

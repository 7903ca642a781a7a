"""`rapt drift` and `rapt reports` on a real store, a trained model and simulated viewers."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from rapt import cli
from rapt.errors import InvalidOption
from tests.monitoring.reports.conftest import Served, reports_env, served  # noqa: F401 - fixtures
from tests.ports import free_ports
from tests.waiting import until
from wire.objects import ObjectStore

ROWS = 400


@pytest.fixture
def store(reports_env: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ObjectStore:  # noqa: F811
    monkeypatch.setenv("RAPT_HOME", str(tmp_path / "home"))
    return ObjectStore.from_env()


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cli.app, arguments, obj=cli.Run())


def tables(folder: Path, shift: float) -> tuple[str, str]:
    """A Parquet and a CSV file."""
    rng = np.random.default_rng(0)
    paths = folder / "before.parquet", folder / "after.csv"
    for number, path in enumerate(paths):
        made = pa.table({"price": rng.normal(number * shift, 1.0, ROWS), "kind": rng.choice(["a", "b"], ROWS)})
        if path.suffix == ".csv":
            pyarrow.csv.write_csv(made, path)
        else:
            pq.write_table(made, path)
    return str(paths[0]), str(paths[1])


def test_two_files_are_compared(store: ObjectStore, tmp_path: Path) -> None:
    before, after = tables(tmp_path, shift=1.0)
    page = tmp_path / "drift.html"
    found = run("drift", "run", "--reference", before, "--current", after, "--html", str(page), "--exit-code")
    assert found.exit_code == 3, found.output
    assert "price rose by" in found.stdout and "drifted" in found.output
    assert "price" in page.read_text()
    assert run("reports", "--json").stdout.strip() == "[]"
    before, after = tables(tmp_path, shift=0.0)
    calm = run("drift", "run", "--reference", before, "--current", after, "--exit-code", "--keep", "--json")
    assert calm.exit_code == 0, calm.output
    assert json.loads(calm.stdout)["verdict"]["drifted"] is False
    (kept,) = json.loads(run("reports", "--json").stdout)
    assert (kept["kind"], kept["says"]) == ("tables", "nothing has moved")
    store.put_file("given/before.parquet", Path(before))
    stored = run("drift", "run", "--reference", store.uri("given/before.parquet"), "--current", after, "--json")
    assert json.loads(stored.stdout)["reference"]["rows"] == ROWS


def of(name: str, folder: Path, column: pa.Array) -> str:
    """A Parquet file with this column beside one that does not move."""
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({"still": np.arange(len(column)) % 10, "x": column}), path)
    return str(path)


@pytest.mark.parametrize(
    ("before", "after", "drifted"),
    [
        (pa.array(["a", "b"] * 200).dictionary_encode(), pa.array(["a", "c"] * 200).dictionary_encode(), True),
        (pa.array(np.arange(400) + 2**62), pa.array(np.arange(400) + 2**62), False),
        (pa.array(np.full(400, np.nan)), pa.array(np.arange(400.0)), True),
        (pa.array(np.full(400, np.inf)), pa.array(np.arange(400.0)), True),
        (pa.nulls(400, pa.string()), pa.array(["a", "b"] * 200), True),
        (pa.array([f"id-{n}" for n in range(400)]), pa.array([f"id-{n}" for n in range(400, 800)]), False),
    ],
    ids=["levels of a dictionary", "large whole numbers", "no number", "infinite", "null", "ids"],
)
def test_a_column_that_is_out_of_the_ordinary_is_compared_and_shown(
    store: ObjectStore, tmp_path: Path, before: pa.Array, after: pa.Array, drifted: bool
) -> None:
    page = tmp_path / "drift.html"
    tables = "--reference", of("before", tmp_path, before), "--current", of("after", tmp_path, after)
    found = run("drift", "run", *tables, "--html", str(page), "--exit-code")
    assert found.exit_code == (3 if drifted else 0), (found.output, found.exception)
    assert "still" in page.read_text()


def test_tables_with_nothing_in_common_have_a_verdict_and_no_picture(store: ObjectStore, tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("\n".join([name, *map(str, range(100))]))
    tables = "--reference", str(tmp_path / "a.csv"), "--current", str(tmp_path / "b.csv")
    assert run("drift", "run", *tables, "--exit-code").exit_code == 3
    assert run("drift", "run", *tables, "--keep").exit_code == 0
    assert "nothing to show" in str(run("drift", "run", *tables, "--html", str(tmp_path / "x.html")).exception)


def test_a_table_is_the_same_as_parquet_and_as_csv(store: ObjectStore, tmp_path: Path) -> None:
    """Text that is missing among it, and packed."""
    table = pa.table({"kind": ["a", "b", None, ""] * 100, "price": range(400)})
    pq.write_table(table, tmp_path / "before.parquet")
    pyarrow.csv.write_csv(table, tmp_path / "after.csv")
    with gzip.open(tmp_path / "after.csv.gz", "wb") as packed:
        packed.write((tmp_path / "after.csv").read_bytes())
    for name in ("after.csv", "after.csv.gz"):
        tables = "--reference", str(tmp_path / "before.parquet"), "--current", str(tmp_path / name)
        found = run("drift", "run", *tables, "--json")
        column = json.loads(found.stdout)["verdict"]["columns"][0]
        assert (column["distance"], column["nulls"]) == (0.0, [0.25, 0.25]), found.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--reference", "../missing.csv", "--current", "../missing.csv"), "no such file"),
        (("--reference", "x.csv"), "are needed together"),
        (("--reference", "missing.csv", "--current", "missing.csv"), "no such file"),
        (("--reference", "yesterday..1h", "--current", "1h.."), "'yesterday' is no moment"),
        (("--reference", "1h..2h", "--current", "1h.."), "ends before it begins"),
        ((), "no model serves yet"),
    ],
)
def test_what_cannot_be_compared_is_told(store: ObjectStore, arguments: tuple[str, ...], words: str) -> None:
    error = run("drift", "run", *arguments).exception
    assert isinstance(error, InvalidOption) and words in str(error), error


def test_a_file_that_is_no_table_is_told(store: ObjectStore, tmp_path: Path) -> None:
    wrong = tmp_path / "x.parquet"
    wrong.write_text("hello")
    error = run("drift", "run", "--reference", str(wrong), "--current", str(wrong)).exception
    assert isinstance(error, InvalidOption) and "cannot be read as CSV or Parquet" in str(error)


def test_a_table_with_two_columns_of_a_name_is_told(store: ObjectStore, tmp_path: Path) -> None:
    wrong = tmp_path / "x.csv"
    wrong.write_text("a,a\n1,2\n")
    error = run("drift", "run", "--reference", str(wrong), "--current", str(wrong)).exception
    assert isinstance(error, InvalidOption) and "more than one column 'a'" in str(error)


def test_the_serving_model_is_reported_on(store: ObjectStore, served: Served, tmp_path: Path) -> None:  # noqa: F811
    assert isinstance(run("reports", "show").exception, InvalidOption)
    served.observe(1)
    made = run("drift", "run")
    assert made.exit_code == 0 and "engaged" in made.stdout, made.output
    (listed,) = json.loads(run("reports", "list", "--json").stdout)
    assert listed["model"] == served.bundle.digest
    shown = run("reports", "show").stdout
    for words in ("SLICE", "ranked", "first impressions", "embedding video"):
        assert words in shown, words
    files = json.loads(run("reports", "fetch", str(tmp_path / "files"), "--json").stdout)["files"]
    assert {Path(one).name for one in files} == {
        "evidently.html", "evidently.json", "evidently.snapshot.json", "report.json"
    }  # fmt: skip
    assert "no report 'x'" in str(run("reports", "show", "x").exception)
    spans = run("drift", "run", "--reference", "1h..", "--current", "1h..", "--json")
    found = json.loads(spans.stdout)
    assert found["reference"]["rows"] == 3500 and found["verdict"]["drifted"] is False, spans.output


@pytest.mark.slow
def test_evidentlys_own_ui_opens_them(store: ObjectStore, served: Served, tmp_path: Path) -> None:  # noqa: F811
    served.observe(1)
    run("drift", "run")
    port = free_ports()
    command = [sys.executable, "-W", "ignore", "-m", "rapt", "reports", "ui", "--port", str(port)]
    process = subprocess.Popen(command, env={**os.environ})
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:

            def projects() -> list[Any]:
                try:
                    answer = client.get("/api/projects")
                except httpx.TransportError:
                    return []
                return list(answer.json()) if answer.status_code == 200 else []

            until(lambda: bool(projects()), "a project", 120)
            (project,) = projects()
            assert project["name"] == "Rapt"
            seen = client.get(f"/api/projects/{project['id']}/reports").json()
            assert [one["name"] for one in seen] == json.loads(run("reports", "--json").stdout)[0]["name"].split(), seen
            refused = client.post("/api/projects", json={"name": "x"})
            assert refused.status_code in {401, 403}, refused.text
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)

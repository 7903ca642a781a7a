"""The `rapt` command's own manners: help, version, exit codes, one-line errors, Ctrl-C, closed pipes."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import typer
from typer.testing import CliRunner

from interest.errors import InvalidRecord
from rapt import cli
from wire.errors import ObjectStoreUnavailable

RAPT = str(Path(sys.executable).with_name("rapt"))


def rapt(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [RAPT, *arguments], env={**os.environ, **variables}, capture_output=True, text=True, timeout=120
    )


def test_help_names_the_commands_in_their_group() -> None:
    shown = CliRunner().invoke(cli.app, ["--help"], env={"COLUMNS": "200", "NO_COLOR": "1"})
    assert shown.exit_code == 0
    for word in ("This machine", "up", "down", "status", "doctor", "--debug", "--version"):
        assert word in shown.output


def test_each_command_has_json() -> None:
    group = typer.main.get_command(cli.app)

    def leaves(command: object) -> list[tuple[str, list[str]]]:
        inner = getattr(command, "commands", None)
        if inner is not None:
            return [leaf for one in inner.values() for leaf in leaves(one)]
        if command.context_settings.get("ignore_unknown_options"):  # type: ignore[attr-defined]
            return []  # what follows is another command with options of its own
        options = [option for parameter in command.params for option in parameter.opts]  # type: ignore[attr-defined]
        return [(str(command.name), options)]  # type: ignore[attr-defined]

    found = leaves(group)
    assert len(found) >= 4
    assert [name for name, options in found if "--json" not in options] == []


def test_the_command_line_loads_nothing_heavy() -> None:
    heavy = ("torch", "kfp", "pyarrow", "av", "cv2", "minio")
    code = f"import sys, rapt.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_version() -> None:
    assert rapt("--version").stdout.startswith("rapt ")


def test_wrong_usage_is_2() -> None:
    assert rapt("no-such-command").returncode == 2
    assert rapt("up", "--no-such-option").returncode == 2


def test_a_named_error_is_one_line_and_a_traceback_only_with_debug(tmp_path: Path) -> None:
    failed = rapt("status", RAPT_HOME=str(tmp_path), RAPT_OBJECT_STORE_PORT="x")
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert failed.stderr.startswith("error: RAPT_OBJECT_STORE_PORT = 'x' is not allowed")
    assert failed.stderr.count("\n") == 1
    debugged = rapt("--debug", "status", RAPT_HOME=str(tmp_path), RAPT_OBJECT_STORE_PORT="x")
    assert "Traceback" in debugged.stderr
    assert debugged.returncode == 1


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InvalidRecord("row 3:\n  bad"), "row 3: bad"),
        (ObjectStoreUnavailable("gone"), "gone"),
        (
            ZeroDivisionError("by zero"),
            "unexpected ZeroDivisionError: by zero (run `rapt --debug ...` to see where)",
        ),
    ],
)
def test_any_error_is_one_line(error: Exception, line: str) -> None:
    assert cli.one_line(error) == line


def test_json_goes_to_stdout_alone(tmp_path: Path) -> None:
    done = rapt("--debug", "status", "--json", RAPT_HOME=str(tmp_path))
    assert done.returncode == 3
    assert json.loads(done.stdout)["services"][0]["running"] is False


def test_ctrl_c_ends_with_130_and_no_traceback(tmp_path: Path) -> None:
    """`rapt up` waits for the stack's lock, which we hold, when the signal comes."""
    (tmp_path / "run").mkdir()
    with (tmp_path / "run" / "stack.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = subprocess.Popen(
            [RAPT, "up"], env={**os.environ, "RAPT_HOME": str(tmp_path)}, stderr=subprocess.PIPE, text=True
        )
        try:
            seen = psutil.Process(waiting.pid)
            while not any(file.path.endswith("stack.lock") for file in seen.open_files()):
                assert waiting.poll() is None
            waiting.send_signal(signal.SIGINT)
            _, complaint = waiting.communicate(timeout=60)
        finally:
            waiting.kill()
    assert waiting.returncode == 130
    assert "Traceback" not in complaint


def test_a_reader_that_went_away_is_no_failure_to_speak_of(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [RAPT, "status"],
        env={**os.environ, "RAPT_HOME": str(tmp_path)},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    os.close(writing)
    assert done.stderr == ""

import os
import socket
from pathlib import Path

import pytest

from rapt import doctor
from rapt.doctor import State
from rapt.settings import Settings
from tests.ports import free_ports


def test_this_machine_is_fit_but_for_memory_disk_and_ports(tmp_path: Path) -> None:
    for check in doctor.examine(Settings(home=tmp_path)):
        assert check.name in {"memory", "disk", "ports", "cpu"} or check.state is State.OK, check
        assert bool(check.mend) == (check.state is not State.OK)


@pytest.mark.parametrize(
    ("available_bytes", "state"), [(1_900_000_000, State.FAIL), (3e9, State.WARN), (4e9, State.OK)]
)
def test_memory_is_judged_by_what_a_run_takes(available_bytes: int, state: State) -> None:
    assert doctor.memory(available_bytes).state is state


def test_an_old_python_fails() -> None:
    assert doctor.python((3, 10, 9)).state is State.FAIL
    assert doctor.python((3, 11, 0)).state is State.OK


def test_the_disk_of_a_home_that_is_not_there_yet_is_judged(tmp_path: Path) -> None:
    assert str(tmp_path) in doctor.disk(tmp_path / "not" / "there").found


def test_foreign_weights_fail_with_both_digests() -> None:
    distribution, module, file, _ = doctor.WEIGHTS[1]
    check = doctor.weights(distribution, module, file, "0" * 64)
    assert check.state is State.FAIL
    assert "579344248a93" in check.found
    assert distribution in check.mend


def test_absent_packages_and_weights_fail_with_the_install_command() -> None:
    for check in (doctor.weights("none", "no_such_module", "x", ""), doctor.imports("no-such-package")):
        assert check.state is State.FAIL
        assert "rapt[training]" in check.mend


@pytest.mark.parametrize("setting", ["object_store_port", "broker_port", "serving_port"])
def test_a_port_in_use_fails_with_its_holder_and_the_setting(tmp_path: Path, setting: str) -> None:
    free = {name: free_ports() for name in ("object_store_port", "broker_port", "serving_port")}
    with socket.create_server(("127.0.0.1", 0)) as server:
        check = doctor.ports(Settings(home=tmp_path, **free | {setting: server.getsockname()[1]}))
    assert check.state is State.FAIL
    assert f"pid {os.getpid()}" in check.mend
    assert setting in check.mend
    assert doctor.ports(Settings(home=tmp_path, **free)).state is State.OK

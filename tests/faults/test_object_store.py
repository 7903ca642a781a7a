"""The object store failing in every way that a run meets: killed, gone, silent, cut off, full."""

import dataclasses
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rapt.credentials import Credentials
from rapt.seaweed import seaweed
from rapt.service import Service, find, start, stop
from tests.ports import free_ports
from wire.errors import ObjectStoreUnavailable
from wire.objects import ObjectStore

pytestmark = pytest.mark.slow

KEYS = Credentials("an-access-key-of-the-tests", "a-secret-key-of-the-tests-that-is-long")


def client(address: str, deadline_s: float) -> ObjectStore:
    return ObjectStore(address, "rapt", KEYS.access_key, KEYS.secret_key, deadline_s=deadline_s)


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[Service]:
    """A SeaweedFS that the test may kill."""
    service = seaweed(tmp_path / "data", free_ports(), KEYS, "rapt")
    start(service, tmp_path, 60)
    yield service
    stop(service.name, tmp_path, grace_s=0.1)


class Cutter(threading.Thread):
    """A proxy that ends each connection after so many bytes of answer, given one number a connection."""

    def __init__(self, target_port: int, allowances_bytes: list[int]) -> None:
        super().__init__(daemon=True)
        self.target_port = target_port
        self.allowances_bytes = allowances_bytes
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            allowance = self.allowances_bytes[min(self.connections, len(self.allowances_bytes) - 1)]
            self.connections += 1
            with near, socket.create_connection(("127.0.0.1", self.target_port)) as far:
                threading.Thread(target=self.pump, args=(near, far, sys.maxsize), daemon=True).start()
                self.pump(far, near, allowance)

    @staticmethod
    def pump(source: socket.socket, sink: socket.socket, allowance_bytes: int) -> None:
        try:
            while allowance_bytes > 0 and (data := source.recv(min(65536, allowance_bytes))):
                sink.sendall(data)
                allowance_bytes -= len(data)
            sink.shutdown(socket.SHUT_RDWR)
            source.shutdown(socket.SHUT_RDWR)
        except OSError:
            return

    def __enter__(self) -> "Cutter":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.join(10)


def test_no_acknowledged_object_is_lost_when_the_store_is_killed_under_load(own_store: Service, tmp_path: Path) -> None:
    store = client(own_store.address, deadline_s=60)
    digests: dict[str, str] = {}
    enough, over = threading.Event(), threading.Event()

    def write(writer: int) -> int:
        number = 0
        while not over.is_set():
            data = os.urandom(1000 + number * 7919 % 300_000)
            store.put_bytes(f"load/{writer}/{number}", data)
            digests[f"load/{writer}/{number}"] = hashlib.sha256(data).hexdigest()
            number += 1
            if len(digests) >= 150:
                enough.set()
        return number

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write, writer) for writer in range(3)]
        try:
            assert enough.wait(60)
            process = find(own_store.name, tmp_path)
            assert process is not None
            process.kill()
            process.wait()
            at_kill = len(digests)
            assert start(own_store, tmp_path, 60)
        finally:
            over.set()
        assert sum(writer.result(60) for writer in writers) == len(digests) >= at_kill + len(writers)
    assert set(store.list("load/")) == set(digests)
    for key, digest in digests.items():
        assert hashlib.sha256(store.get_bytes(key)).hexdigest() == digest


def test_a_store_that_is_gone_is_named_after_the_deadline() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(ObjectStoreUnavailable, match=rf"put s3://rapt/a: .*{address} within 0\.5 s.*rapt up"):
            client(address, deadline_s=0.5).put_bytes("a", b"x")
        assert 0.5 <= time.monotonic() - began < 30


def test_a_store_that_never_answers_is_named_after_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wire.objects.READ_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        with pytest.raises(ObjectStoreUnavailable, match="ReadTimeoutError"):
            client(address, deadline_s=0.5).get_bytes("a")
        assert time.monotonic() - began < 30


def test_a_download_that_is_cut_is_begun_again(own_store: Service, tmp_path: Path) -> None:
    data = os.urandom(3_000_000)
    client(own_store.address, 30).put_bytes("big", data)
    with Cutter(own_store.ports[0], [1_000_000, 2_500_000, sys.maxsize]) as cutter:
        client(cutter.address, 30).get_file("big", tmp_path / "big")
        assert cutter.connections == 3
    assert (tmp_path / "big").read_bytes() == data


def test_a_download_that_is_always_cut_leaves_no_file(own_store: Service, tmp_path: Path) -> None:
    client(own_store.address, 30).put_bytes("big", os.urandom(3_000_000))
    (tmp_path / "got").mkdir()
    with Cutter(own_store.ports[0], [1_000_000]) as cutter:
        with pytest.raises(ObjectStoreUnavailable, match="s3://rapt/big"):
            client(cutter.address, 0.5).get_file("big", tmp_path / "got" / "big")
        assert cutter.connections >= 2
    assert not list((tmp_path / "got").iterdir())


def in_small_disk(folder: Path, size_bytes: int) -> tuple[str, ...]:
    """What to put before a command so that `folder` is a disk of that size for it, where that is allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("no `unshare` to mount a small disk with")
    mount = f'mount -t tmpfs -o size={size_bytes} tmpfs {folder} && exec "$@"'
    prefix = (unshare, "--map-root-user", "--mount", "sh", "-c", mount, "sh")
    if subprocess.run([*prefix, "true"], capture_output=True).returncode:
        pytest.skip("this system does not let a user mount a small disk")
    return prefix


def test_a_full_disk_on_the_stores_side_is_told_and_the_store_goes_on_reading(tmp_path: Path) -> None:
    service = seaweed(tmp_path / "data", free_ports(), KEYS, "rapt")
    small = in_small_disk(tmp_path / "data", 24_000_000)
    start(dataclasses.replace(service, command=(*small, *service.command)), tmp_path, 60)
    store = client(service.address, deadline_s=1)
    kept: dict[str, bytes] = {}
    try:
        with pytest.raises(ObjectStoreUnavailable, match="is its disk full"):
            for number in range(40):
                data = os.urandom(1_000_000)
                store.put_bytes(f"{number}", data)
                kept[f"{number}"] = data
        assert kept
        assert {key: store.get_bytes(key) for key in kept} == kept
    finally:
        stop(service.name, tmp_path, grace_s=0.1)


GET = """
import sys
from pathlib import Path
from wire.errors import LocalDiskFull
from wire.objects import ObjectStore
folder = Path(sys.argv[1])
try:
    ObjectStore.from_env().get_file("big for a small disk", folder / "big")
except LocalDiskFull as error:
    print(error, [file.name for file in folder.iterdir()])
"""


def test_a_full_disk_on_our_side_is_told_and_leaves_no_file(
    object_store: ObjectStore, object_store_env: dict[str, str], tmp_path: Path
) -> None:
    object_store.put_bytes("big for a small disk", os.urandom(3_000_000))
    done = subprocess.run(
        [*in_small_disk(tmp_path, 1_000_000), sys.executable, "-c", GET, str(tmp_path)],
        env={**os.environ, **object_store_env},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.startswith(f"no space left on the disk of {tmp_path}"), done.stderr
    assert done.stdout.endswith("[]\n")

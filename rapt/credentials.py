"""The embedded object store's credentials: random, made once, in a file that only its owner reads."""

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from rapt.errors import InvalidSettings


@dataclass(frozen=True)
class Credentials:
    """What signs S3 requests."""

    access_key: str
    secret_key: str


def credentials(path: Path) -> Credentials:
    """The credentials in the file; it is made, with mode 0600, when it is not there."""
    if not path.exists():
        _make(path)
    path.chmod(0o600)
    try:
        return Credentials(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise InvalidSettings(
            f"{path} does not hold an access_key and a secret_key: remove it, then `rapt down` and `rapt up`"
        ) from error


def _make(path: Path) -> None:
    """Write whole or not at all, and never over a file that another process made meanwhile."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    part.touch(0o600, exist_ok=False)
    part.write_text(json.dumps(asdict(Credentials(secrets.token_hex(10), secrets.token_urlsafe(30)))))
    try:
        os.link(part, path)
    except FileExistsError:
        return
    finally:
        part.unlink()

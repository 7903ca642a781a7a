"""Where Kafka is and how to speak to it, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from wire.errors import KafkaUnset

Choice = TypeVar("Choice", bound=StrEnum)


class Client(StrEnum):
    """Which client library is underneath: kafka-python needs no compiled code, confluent-kafka is faster."""

    PYTHON = "python"
    CONFLUENT = "confluent"


class Security(StrEnum):
    """How brokers are spoken to; with SASL the mechanism is SCRAM-SHA-512."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def sasl(self) -> bool:
        """Whether a user and a password are needed."""
        return self in {Security.SASL_PLAINTEXT, Security.SASL_SSL}

    @property
    def tls(self) -> bool:
        """Whether the connection is encrypted and the broker has to prove its name."""
        return self in {Security.SSL, Security.SASL_SSL}


@dataclass(frozen=True)
class KafkaSettings:
    """Where the brokers are (`host:port,host:port`), and what they ask for.

    `password_file` holds the password of `username`, `ca_file` the certificate authorities that broker
    certificates must come from, as PEM (empty: the system's). Both are what Strimzi mounts from its secrets.
    """

    bootstrap: str
    security: Security = Security.PLAINTEXT
    username: str = ""
    password_file: str = ""
    ca_file: str = ""
    client: Client = Client.PYTHON

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> KafkaSettings:
        """RAPT_KAFKA_BOOTSTRAP, and optionally _SECURITY (PLAINTEXT), _USERNAME, _PASSWORD_FILE, _CA_FILE, _CLIENT.

        Raises KafkaUnset naming the variable, its value and what is allowed.
        """
        env = os.environ if env is None else env
        bootstrap = env.get("RAPT_KAFKA_BOOTSTRAP", "")
        if not bootstrap:
            raise KafkaUnset(
                "Kafka is not configured: RAPT_KAFKA_BOOTSTRAP not set; "
                "run `rapt up` and start this through `rapt`, or set it to host:port of your brokers"
            )
        for server in bootstrap.split(","):
            host, _, port = server.rpartition(":")
            if not host or not port.isdecimal():
                raise KafkaUnset(f"RAPT_KAFKA_BOOTSTRAP={bootstrap!r}: {server!r} is not of the form host:port")
        settings = cls(
            bootstrap,
            _choice(Security, env, "RAPT_KAFKA_SECURITY", Security.PLAINTEXT),
            env.get("RAPT_KAFKA_USERNAME", ""),
            env.get("RAPT_KAFKA_PASSWORD_FILE", ""),
            env.get("RAPT_KAFKA_CA_FILE", ""),
            _choice(Client, env, "RAPT_KAFKA_CLIENT", Client.PYTHON),
        )
        needed = {"RAPT_KAFKA_USERNAME": settings.username, "RAPT_KAFKA_PASSWORD_FILE": settings.password_file}
        missing = [name for name, value in needed.items() if settings.security.sasl and not value]
        if missing:
            raise KafkaUnset(f"RAPT_KAFKA_SECURITY={settings.security} needs {' and '.join(missing)} to be set")
        return settings

    def password(self) -> str:
        """The content of `password_file` without the line's end; raises KafkaUnset when there is none."""
        try:
            password = Path(self.password_file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise KafkaUnset(
                f"cannot read Kafka's password of {self.username!r} from {self.password_file!r} ({error}): "
                "set RAPT_KAFKA_PASSWORD_FILE to a file that holds it"
            ) from error
        if not password:
            raise KafkaUnset(f"{self.password_file!r} is empty: RAPT_KAFKA_PASSWORD_FILE must hold the password")
        return password

    def trusted(self) -> str | None:
        """The path of `ca_file`, None for the system's authorities; raises KafkaUnset unless it holds PEM."""
        if not self.ca_file:
            return None
        try:
            text = Path(self.ca_file).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise KafkaUnset(f"cannot read RAPT_KAFKA_CA_FILE={self.ca_file!r} as PEM: {error}") from error
        if "-----BEGIN CERTIFICATE-----" not in text:
            raise KafkaUnset(f"RAPT_KAFKA_CA_FILE={self.ca_file!r} holds no certificate in PEM")
        return self.ca_file


def _choice(kind: type[Choice], env: Mapping[str, str], name: str, default: Choice) -> Choice:
    value = env.get(name) or default
    try:
        return kind(value)
    except ValueError as error:
        raise KafkaUnset(f"{name}={value!r} is not one of {', '.join(kind)}") from error

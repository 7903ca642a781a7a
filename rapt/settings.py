"""All settings of Rapt in one class: defaults < `$RAPT_HOME/config.toml` < `./rapt.toml` < RAPT_* variables.

RAPT_OBJECT_STORE_PORT=9000 rapt up
"""

import difflib
import hashlib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from rapt.credentials import credentials
from rapt.errors import InvalidSettings

PREFIX = "RAPT_"
STORE_PORTS = 8
SERVING_PORTS = 15
AWS_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may set; `home` by the variable RAPT_HOME only, the others also in a file."""

    home: Annotated[Path, Meta(description="Folder of data, credentials, logs and pid files.")]
    s3_endpoint: Annotated[
        str, Meta(pattern="^(https?://[^/]+)?$", description="An S3 of your own; empty: the embedded store.")
    ] = ""
    s3_bucket: Annotated[
        str, Meta(pattern="^[a-z0-9][a-z0-9.-]{2,62}$", description="Bucket of all that Rapt stores.")
    ] = "rapt"
    s3_region: Annotated[str, Meta(min_length=1, description="Region that requests are signed for.")] = "us-east-1"
    s3_deadline_s: Annotated[
        float, Meta(ge=0, le=3600, description="Seconds to keep trying after a request's first failure.")
    ] = 30.0
    object_store_port: Annotated[
        int,
        Meta(
            ge=1024,
            le=65535 - STORE_PORTS,
            description="Embedded store: S3 port; it takes the next seven too.",
        ),
    ] = 8333
    object_store_memory_mib: Annotated[
        int, Meta(ge=64, le=65536, description="Embedded store: memory that it aims to stay under, in MiB.")
    ] = 256
    kafka_bootstrap: Annotated[
        str,
        Meta(
            pattern=r"^$|^[^\s:,]+:\d+(,[^\s:,]+:\d+)*$", description="A Kafka of your own; empty: the embedded broker."
        ),
    ] = ""
    kafka_security: Annotated[
        str, Meta(pattern="^(PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)$", description="How your Kafka is spoken to.")
    ] = "PLAINTEXT"
    kafka_username: Annotated[str, Meta(description="User of your Kafka (SCRAM-SHA-512).")] = ""
    kafka_password_file: Annotated[str, Meta(description="File that holds that user's password.")] = ""
    kafka_ca_file: Annotated[str, Meta(description="Certificate authority of your Kafka, PEM.")] = ""
    broker_port: Annotated[int, Meta(ge=1024, le=65535, description="Embedded broker: port of the Kafka protocol.")] = (
        9092
    )
    serving_port: Annotated[
        int,
        Meta(
            ge=1024,
            le=65535 - SERVING_PORTS,
            description="Endpoint: HTTP port; gRPC is the next, what belongs to it takes the thirteen after it.",
        ),
    ] = 8080
    serving_endpoint: Annotated[
        str,
        Meta(pattern="^(https?://[^/]+)?$", description="Where predictions are asked for; empty: that of `rapt up`."),
    ] = ""
    serving_workers: Annotated[int, Meta(ge=1, le=64, description="Processes of the endpoint's transformer.")] = 1
    serving_model: Annotated[
        str, Meta(pattern="^[0-9a-f]*$", description="Digest of the model to serve; empty: the one published last.")
    ] = ""
    state_memory_mib: Annotated[
        int, Meta(ge=8, le=1 << 20, description="Memory for viewers' histories, in MiB: 3 kB a viewer.")
    ] = 512
    state_checkpoint_s: Annotated[
        float, Meta(gt=0, le=86400, description="Seconds between checkpoints of the viewers' histories.")
    ] = 30.0
    label_window_s: Annotated[
        float, Meta(gt=0, le=7 * 86400, description="Seconds after an exposure in which viewers' acts are its labels.")
    ] = 60.0
    label_slack_s: Annotated[
        float, Meta(ge=0, le=3600, description="Seconds that records of the stream may come late.")
    ] = 5.0
    retrain_every_s: Annotated[
        float, Meta(ge=0, le=86400, description="Seconds between looks whether to train again; 0: never.")
    ] = 0.0
    retrain_least: Annotated[int, Meta(ge=100, description="Impressions that a retraining waits for.")] = 20_000
    retrain_cool_down_s: Annotated[
        float, Meta(ge=0, description="Seconds after a retraining, or a promotion, in which there is none.")
    ] = 3600.0
    retrain_oldest_s: Annotated[
        float, Meta(ge=0, description="Seconds after which a model is trained again in any case; 0: never.")
    ] = 604_800.0
    retrain_experiment: Annotated[
        str, Meta(description="Spec of the experiments that try retrained models, as YAML; empty: the defaults.")
    ] = ""
    dashboard: Annotated[bool, Meta(description="Whether `rapt up` starts the dashboard and the reports.")] = True
    report_every_s: Annotated[
        float, Meta(ge=0, le=30 * 86400, description="Seconds between reports of how the model does; 0: make none.")
    ] = 3600.0
    report_keep_days: Annotated[float, Meta(gt=0, le=3650, description="Days that reports are kept.")] = 7.0
    allow_private_addresses: Annotated[
        str,
        Meta(
            pattern=r"^$|^all$|^[^\s,]+:\d+(,[^\s,]+:\d+)*$",
            description="Catalogue feed: `address:port`s that videos may come from, though not public.",
        ),
    ] = ""
    kfp_endpoint: Annotated[
        str, Meta(pattern=r"^(https?://\S+)?$", description="Kubeflow Pipelines API that `submit` talks to.")
    ] = ""
    kfp_namespace: Annotated[
        str, Meta(pattern="^[a-z0-9-]*$", description="Your namespace in a Kubeflow of several users.")
    ] = ""
    kfp_token_file: Annotated[str, Meta(description="File that holds that API's token, unless RAPT_KFP_TOKEN is.")] = ""
    kfp_ca_file: Annotated[str, Meta(description="Certificate authority of that API, PEM.")] = ""
    kfp_pipeline_root: Annotated[
        str,
        Meta(
            pattern=r"^((s3|minio)://[a-z0-9][a-z0-9.-]{2,62}(/\S*)?)?$",
            description="Where a cluster's runs put their artifacts; empty: where its kfp-launcher says.",
        ),
    ] = ""
    start_deadline_s: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds for a process of the stack to become ready.")
    ] = 60.0
    stop_grace_s: Annotated[
        float, Meta(gt=0, le=3600, description="Seconds from SIGTERM to SIGKILL in `rapt down`.")
    ] = 10.0

    @property
    def run_folder(self) -> Path:
        """Pid files, logs and the lock of the laptop's stack."""
        return self.home / "run"

    @property
    def credentials_file(self) -> Path:
        """The embedded store's credentials, mode 0600."""
        return self.home / "credentials.json"

    @property
    def embedded_endpoint(self) -> str:
        """Where the embedded store answers."""
        return f"http://127.0.0.1:{self.object_store_port}"

    @property
    def embedded(self) -> bool:
        """Whether objects lie in the store that `rapt up` starts."""
        return self.s3_endpoint in {"", self.embedded_endpoint}

    @property
    def embedded_broker(self) -> bool:
        """Whether events go through the broker that `rapt up` starts."""
        return not self.kafka_bootstrap

    @property
    def endpoint(self) -> str:
        """Where predictions are asked for."""
        return self.serving_endpoint or f"http://127.0.0.1:{self.serving_port}"

    @property
    def state_folder(self) -> Path:
        """Where the viewers' histories lie: in memory where the system has a file system for that."""
        name = hashlib.sha256(str(self.home.absolute()).encode()).hexdigest()[:16]
        shared = Path("/dev/shm")  # noqa: S108 - the folder inside is ours alone, mode 0700
        return shared / f"rapt-{os.getuid()}-{name}" if shared.is_dir() else self.home / "state"

    def variables(self) -> dict[str, str]:
        """These settings as variables, for another process of ours; keys of an S3 of your own go with them."""
        own = {field.name: getattr(self, field.name) for field in msgspec.structs.fields(self)}
        given = {PREFIX + name.upper(): str(value) for name, value in own.items() if str(value)}
        return given | {name: os.environ[name] for name in AWS_KEYS if name in os.environ}

    def stream_environment(self) -> dict[str, str]:
        """What a process needs to reach the broker, beside `environment`."""
        own = {
            "RAPT_KAFKA_SECURITY": self.kafka_security,
            "RAPT_KAFKA_USERNAME": self.kafka_username,
            "RAPT_KAFKA_PASSWORD_FILE": self.kafka_password_file,
            "RAPT_KAFKA_CA_FILE": self.kafka_ca_file,
        }
        bootstrap = self.kafka_bootstrap or f"127.0.0.1:{self.broker_port}"
        return {"RAPT_KAFKA_BOOTSTRAP": bootstrap, **{name: value for name, value in own.items() if value}}

    def environment(self) -> dict[str, str]:
        """What a component's process needs to reach the object store.

        Raises InvalidSettings when an S3 of your own is set and the AWS_* variables are not.
        """
        if self.embedded:
            keys = credentials(self.credentials_file)
            signed = dict(zip(AWS_KEYS, (keys.access_key, keys.secret_key), strict=True))
        else:
            signed = {name: os.environ.get(name, "") for name in AWS_KEYS}
            if not all(signed.values()):
                raise InvalidSettings(f"s3_endpoint = {self.s3_endpoint!r} needs {' and '.join(AWS_KEYS)} to be set")
        return {
            **signed,
            "AWS_DEFAULT_REGION": self.s3_region,
            "RAPT_HOME": str(self.home),
            "RAPT_S3_ENDPOINT": self.s3_endpoint or self.embedded_endpoint,
            "RAPT_S3_BUCKET": self.s3_bucket,
            "RAPT_S3_DEADLINE_S": f"{self.s3_deadline_s:g}",
        }


def load(variables: Mapping[str, str] | None = None, folder: Path | None = None) -> Settings:
    """The settings of this user in this folder.

    Raises InvalidSettings naming the file or variable, the key, the value and what is allowed.
    """
    variables = os.environ if variables is None else variables
    home = _home(variables)
    values: dict[str, Any] = {}
    for path in (home / "config.toml", (folder or Path.cwd()) / "rapt.toml"):
        values |= _from_file(path)
    values |= _from_variables(variables)
    return Settings(**values, home=home)


def _home(variables: Mapping[str, str]) -> Path:
    if variables.get("RAPT_HOME"):
        return Path(variables["RAPT_HOME"]).expanduser().absolute()
    data = variables.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share").absolute() / "rapt"


def _from_file(path: Path) -> dict[str, Any]:
    try:
        table = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"{path} is not TOML: {error}") from error
    for key in table:
        if key not in _fields():
            near = difflib.get_close_matches(key, _fields(), 1)
            known = f"did you mean {near[0]}?" if near else f"known are {', '.join(_fields())}"
            raise InvalidSettings(f"{path}: unknown setting {key}: {known}")
    return {key: _checked(f"{path}: {key}", key, value, strict=True) for key, value in table.items()}


def _from_variables(variables: Mapping[str, str]) -> dict[str, Any]:
    names = {PREFIX + key.upper(): key for key in _fields()}
    for name in variables:
        near = difflib.get_close_matches(name, names, 1, cutoff=0.9) if name.startswith(PREFIX) else []
        if near and name not in names:
            raise InvalidSettings(f"unknown variable {name}: did you mean {near[0]}?")
    return {
        key: _checked(name, key, variables[name], strict=False) for name, key in names.items() if variables.get(name)
    }


def _fields() -> dict[str, Any]:
    return {field.name: field.type for field in msgspec.structs.fields(Settings) if field.name != "home"}


def _checked(where: str, key: str, value: Any, *, strict: bool) -> Any:
    try:
        return msgspec.convert(value, _fields()[key], strict=strict)
    except msgspec.ValidationError as error:
        allowed = str(error)[:1].lower() + str(error)[1:]
        raise InvalidSettings(f"{where} = {value!r} is not allowed: {allowed}") from error

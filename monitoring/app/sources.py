"""Where pages get what they show: clients that all sessions share, and reads that are kept for some seconds.

Everything is kept by the environment that it was made from. Failures are named and never kept.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import pyarrow as pa
import streamlit as st

from inference.arms import Arms
from inference.bundles import cache_folder
from inference.client import Client
from interest.experiments.spec import Experiment
from interest.records import Event
from monitoring.app.atlas import Atlas, Kind
from monitoring.app.errors import EndpointUnset, NoModel
from monitoring.app.runs import Run, runs
from monitoring.app.served import Served
from monitoring.app.settings import Environment, Settings, environment
from monitoring.app.trials import Trial, trials
from monitoring.experiments.curve import Curve
from monitoring.experiments.records import Audit
from wire import kafka, models, observations
from wire.errors import KafkaError, KafkaUnset, ObjectNotFound
from wire.kafka import EVENTS, KafkaSettings
from wire.objects import ObjectStore
from wire.reports import MODEL, Report, newest

STORE_DEADLINE_S = "2"
"""A page says that the store is away rather than wait for it."""
FLUSH_S = 5.0
SEEN_ROWS = 20_000
MOST_REPORTS = 20
SEEN = ("user_id", "video_id", "arm", "engaged", "experiment", "logged_ms")


def settings() -> Settings:
    """The dashboard's own."""
    return Settings.from_env(os.environ)


def store() -> ObjectStore:
    """The object store; raises ObjectStoreUnset."""
    return _store(environment())


@st.cache_resource(show_spinner=False, max_entries=4)
def _store(env: Environment) -> ObjectStore:
    return ObjectStore.from_env({**dict(env), "RAPT_S3_DEADLINE_S": STORE_DEADLINE_S})


def serving() -> str:
    """Digest of the model that serves; raises NoModel, ObjectStoreError."""
    return _serving(environment())


@st.cache_data(ttl=2.0, show_spinner=False)
def _serving(env: Environment) -> str:
    try:
        return models.latest(_store(env))
    except ObjectNotFound as error:
        raise NoModel("the store holds no model that serves; `make demo` or a training makes one") from error


def served() -> Served:
    """The model that serves, ready to be looked into; raises NoModel, ObjectStoreError, InvalidBundle."""
    return _served(environment(), serving())


@st.cache_resource(show_spinner="Fetching the model", max_entries=2, on_release=Served.close)
def _served(env: Environment, digest: str) -> Served:
    variables = dict(env)
    try:
        stream: KafkaSettings | None = KafkaSettings.from_env(variables)
    except KafkaUnset:
        stream = None
    return Served(_store(env), stream, digest, cache_folder(variables.get("RAPT_HOME")))


def client(timeout_s: float = 5.0) -> Client:
    """The client of the endpoint; raises EndpointUnset."""
    address = settings().endpoint
    if not address:
        raise EndpointUnset("RAPT_ENDPOINT is not set; set it to the endpoint's http://host:port")
    return _client(address, timeout_s)


@st.cache_resource(show_spinner=False, max_entries=4, on_release=Client.close)
def _client(address: str, timeout_s: float) -> Client:
    return Client(address, timeout_s=timeout_s)


def send(events: Sequence[Event]) -> None:
    """Send events, acknowledged when this returns; raises KafkaError."""
    sender = _sender(environment())
    try:
        sender.send(events)
    except KafkaError:
        _sender.clear()  # the next one connects anew
        raise


class Sender:
    """A producer that sessions take turns with."""

    def __init__(self, chosen: KafkaSettings) -> None:
        self._producer = kafka.producer(chosen)
        self._turn = threading.Lock()

    def send(self, events: Sequence[Event]) -> None:
        """Send events and wait for their acknowledgement; raises KafkaError."""
        with self._turn:
            for event in events:
                self._producer.send(EVENTS, event.user_id.encode(), msgspec.json.encode(event))
            self._producer.flush(FLUSH_S)

    def close(self) -> None:
        """End the connections."""
        self._producer.close()


@st.cache_resource(show_spinner="Connecting to the stream", max_entries=2, on_release=Sender.close)
def _sender(env: Environment) -> Sender:
    return Sender(KafkaSettings.from_env(dict(env)))


def experiments() -> list[Trial]:
    """All experiments, the newest first; raises ObjectStoreError."""
    return _experiments(environment())


@st.cache_data(ttl=2.0, show_spinner=False, max_entries=2)
def _experiments(env: Environment) -> list[Trial]:
    return trials(_store(env))


def curve(trial: Trial, audited: Sequence[Audit]) -> Curve:
    """The lift of an experiment over time, as far as it was read."""
    status = trial.status
    return _curve(environment(), (trial.name, status.started_ms, status.decided_ms), trial, audited)


@st.cache_resource(show_spinner=False, max_entries=32)
def _curve(env: Environment, which: tuple[str, int, int], _trial: Trial, _audited: Sequence[Audit]) -> Curve:  # noqa: ARG001
    return Curve(_store(env), Experiment(name=_trial.name, spec=_trial.spec), _trial.status, _audited)


def atlas(kind: Kind) -> Atlas:
    """The map of the served model's videos or viewers, which is being made at first; raises what `served` raises."""
    found = served()
    return _atlas(environment(), found.digest, str(kind), found)


@st.cache_resource(show_spinner=False, max_entries=4)
def _atlas(env: Environment, digest: str, kind: str, _served: Served) -> Atlas:  # noqa: ARG001
    return Atlas(_served, Kind(kind))


def reports() -> list[Report]:
    """The newest reports of models; raises ObjectStoreError."""
    return _reports(environment())


@st.cache_data(ttl=10.0, show_spinner="Reading reports", max_entries=2)
def _reports(env: Environment) -> list[Report]:
    return newest(_store(env), MOST_REPORTS, MODEL)


def pipelines() -> list[Run]:
    """The latest runs; raises NoPipelines, PipelinesUnavailable."""
    return _pipelines(environment())


@st.cache_data(ttl=2.0, show_spinner=False, max_entries=2)
def _pipelines(env: Environment) -> list[Run]:
    return runs(Settings.from_env(dict(env)))


def arms() -> Arms:
    """The experiments that run, as serving knows them: empty until they are read. Raises KafkaUnset."""
    return _arms(environment())


@st.cache_resource(show_spinner=False, max_entries=2, on_release=Arms.close)
def _arms(env: Environment) -> Arms:
    found = Arms(KafkaSettings.from_env(dict(env)))
    found.start()
    return found


@dataclass
class _Seen:
    """One reader for all sessions."""

    reader: observations.Reader
    turn: threading.Lock = field(default_factory=threading.Lock)


def seen() -> pa.Table:
    """The newest observations with the columns `SEEN`; raises ObjectStoreError."""
    return _newest(environment())


@st.cache_resource(show_spinner=False, max_entries=2)
def _reader(env: Environment) -> _Seen:
    return _Seen(observations.Reader(_store(env), SEEN))


@st.cache_data(ttl=5.0, show_spinner=False, max_entries=2)
def _newest(env: Environment) -> pa.Table:
    found = _reader(env)
    with found.turn:
        return found.reader.newest(most=SEEN_ROWS)

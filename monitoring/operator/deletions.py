"""Deletion in order, by kopf: an experiment stays until its viewers are back and its candidate is gone.

Until then it has a finalizer: kopf sets it as long as the experiment is not finished, and takes it away after `held`.
"""

from __future__ import annotations

import socket
import threading
from typing import Any

import kopf
from kopf._core.engines.peering import Identity

from monitoring.operator.api import Access
from monitoring.operator.keeper import Traces
from monitoring.operator.records import GROUP, PLURAL, VERSION

AGAIN_S = 1.0
SERVER_ENDS_WATCH_S, BROKEN_WATCH_S = 60, 70
"""Whole numbers: the API server refuses 60.0."""


def unfinished(status: Any, **_: Any) -> bool:
    """Whether anything may be left of an experiment with this status."""
    return not status.get("finished", False)


async def operate(access: Access, traces: Traces, ended: threading.Event) -> None:
    """Hold back deletions in the namespace until `ended` or SIGTERM, then set `ended`; raises what kopf cannot mend."""
    registry, settings = kopf.OperatorRegistry(), _settings()

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:
        """Again whenever the token was renewed."""
        return kopf.ConnectionInfo(
            server=access.server, ca_path=str(access.ca_file), scheme="Bearer", token=access.token,
            default_namespace=access.namespace,
        )  # fmt: skip

    @kopf.on.delete(GROUP, VERSION, PLURAL, registry=registry, when=unfinished)
    async def held(name: str, memo: kopf.Memo, **_: Any) -> None:
        """End when a look has found nothing left of it."""
        since = memo.setdefault("since", traces.clock())
        if traces.of(name, since):
            raise kopf.TemporaryError(f"experiment {name}: its viewers go back, its candidate ends", delay=AGAIN_S)

    try:
        await kopf.operator(
            identity=Identity(socket.gethostname()),  # a container has no name for its user, which kopf would ask for
            registry=registry,
            settings=settings,
            standalone=True,
            namespaces=[access.namespace],
            stop_flag=ended,
        )
    finally:
        ended.set()  # a thread of the event loop waits for it, and the loop for that thread


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False  # the records leave the events
    settings.scanning.disabled = True  # a Role of one namespace cannot list namespaces and definitions
    settings.persistence.finalizer = f"{GROUP}/candidate"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=GROUP)
    settings.watching.server_timeout, settings.watching.client_timeout = SERVER_ENDS_WATCH_S, BROKEN_WATCH_S
    settings.networking.error_backoffs = [1, 1, 2, 3, 5, 8]
    return settings

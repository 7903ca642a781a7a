"""What a page shows when it has nothing to show: what is missing, in the failure's own words, and what to do next.

Text from outside goes through `st.text` alone: everything else in Streamlit reads Markdown.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from inference.errors import EndpointRefused, EndpointUnavailable
from interest.errors import InterestError
from monitoring.app.errors import EndpointUnset, NoModel, NoPipelines, PipelinesUnavailable
from wire.errors import (
    AccessDenied,
    KafkaError,
    KafkaUnset,
    ObjectNotFound,
    ObjectStoreError,
    ObjectStoreUnset,
    WireError,
)

LOG = logging.getLogger(__name__)
NAMED = (WireError, InterestError, EndpointRefused, EndpointUnavailable, NoModel, EndpointUnset, NoPipelines,
         PipelinesUnavailable)  # fmt: skip

FAILURES: tuple[tuple[type[Exception], str, str], ...] = (
    (NoModel, "No model is published yet", "rapt pipeline run training"),
    (ObjectStoreUnset, "The dashboard does not know where the object store is", "rapt up"),
    (AccessDenied, "The object store refuses the dashboard's credentials", "rapt status"),
    (ObjectNotFound, "Something is missing from the object store", "rapt models"),
    (ObjectStoreError, "The object store does not answer", "rapt status"),
    (KafkaUnset, "The dashboard does not know where Kafka is", "rapt up"),
    (KafkaError, "The stream does not answer", "rapt status"),
    (EndpointUnset, "The dashboard does not know where the endpoint is", "rapt up"),
    (EndpointRefused, "The endpoint refuses this request", "rapt status"),
    (EndpointUnavailable, "The endpoint does not answer", "rapt status"),
    (NoPipelines, "The dashboard does not know where pipelines run", "rapt up"),
    (PipelinesUnavailable, "Kubeflow Pipelines does not answer", "rapt pipeline runs --cluster"),
    (InterestError, "The model cannot be used", "rapt models"),
)
"""Kinds of failures, the narrow ones first: what is said of each, and the command that helps."""


@contextmanager
def guarded() -> Iterator[None]:
    """Inside, a named failure ends this part of the page with what it is; the rest of the page stays."""
    try:
        yield
    except NAMED as error:
        failure(error)


def failure(error: Exception) -> None:
    """Say what failed, in its own words, and what to do next."""
    LOG.warning("%s: %s", type(error).__name__, error)
    told = ((title, command) for kind, title, command in FAILURES if isinstance(error, kind))
    title, command = next(told, ("Something that this page needs failed", "rapt status"))
    st.error(title)
    st.text(str(error))
    st.caption("What to look at next:")
    st.code(command, language=None)


def empty(title: str, next_step: str, command: str = "") -> None:
    """Say that there is nothing yet, and what makes there be something; both are our own words."""
    st.info(f"{title}. {next_step}")
    if command:
        st.code(command, language=None)

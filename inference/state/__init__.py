"""Viewers' newest feedback events, kept by one feeder and read by any number of processes."""

from __future__ import annotations

import os
from pathlib import Path

from inference.state.errors import StateUnavailable
from inference.state.reader import SlabReader
from inference.state.viewer_state import Freshness, StateReader, ViewerState

__all__ = ["Freshness", "StateReader", "StateUnavailable", "ViewerState", "open_reader"]


def open_reader(folder: Path) -> StateReader:
    """A reader of the state that the feeder keeps in `folder`, which may still be to come.

    When RAPT_STATE_VALKEY names a Valkey (host:port), the state is there.
    """
    if address := os.environ.get("RAPT_STATE_VALKEY"):
        from inference.state.valkey_store import ValkeyReader

        return ValkeyReader(address)
    return SlabReader(folder)

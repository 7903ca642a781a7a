"""Every failure of the viewer state by name; the message says what, which value, and what to do next."""

from __future__ import annotations

from inference.errors import InferenceError, Unavailable


class StateError(InferenceError):
    """Root of the viewer state's failures."""


class StateUnavailable(StateError, Unavailable):
    """No state to read now: no feeder yet, one that restores, or one that died while it wrote this viewer."""


class StateTooSmall(StateError):
    """A memory limit under which nothing can be kept."""


class StateFolderFull(StateError):
    """No room for the state in its folder."""


class StateFolderUnusable(StateError):
    """The state's folder cannot be made or written."""


class FeederRunning(StateError):
    """Another feeder writes into this folder."""


class InvalidStateSettings(StateError):
    """A setting of the feeder that is missing or malformed."""


class CheckpointDamaged(StateError):
    """A checkpoint whose bytes are not those that were written, or that this version cannot read."""

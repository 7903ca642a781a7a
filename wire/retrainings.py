"""When a model was last trained again, and why: `retrainings/last.json`."""

from __future__ import annotations

import msgspec

from wire.errors import ObjectNotFound
from wire.objects import ObjectStore

LAST = "retrainings/last.json"


class Retraining(msgspec.Struct, frozen=True, kw_only=True):
    """A retraining that was begun. `model` is the digest of the one that served, `run` the pipeline's run."""

    at_ms: int
    model: str
    why: str
    run: str = ""


def note(store: ObjectStore, begun: Retraining) -> None:
    """Keep that one was begun: cool-down counts from here, whatever becomes of it."""
    store.put_bytes(LAST, msgspec.json.encode(begun))


def last(store: ObjectStore) -> Retraining | None:
    """The one that was begun last; None when none ever was."""
    try:
        return msgspec.json.decode(store.get_bytes(LAST), type=Retraining)
    except ObjectNotFound:
        return None

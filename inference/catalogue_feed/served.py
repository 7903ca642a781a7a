"""Which model the feed encodes for: the one it was told, or whichever was published last."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from interest.bundle import Bundle
from interest.encoding import ContentEncoder
from interest.errors import InvalidBundle, InvalidSetting
from interest.features.content import FeatureSettings
from interest.features.text import TextSettings
from wire import models
from wire.errors import ObjectNotFound
from wire.objects import ObjectStore

LOG = logging.getLogger(__name__)
LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class Model:
    """A model's content encoders, loaded, and how its features are made."""

    digest: str
    encoder: ContentEncoder
    settings: FeatureSettings


class ServedModel:
    """Follows the store's pointer, or the digest that begins with `pinned`; a bad bundle leaves the one before."""

    def __init__(
        self,
        store: ObjectStore,
        cache: Path,
        pinned: str = "",
        prepare: Callable[[TextSettings], None] = lambda _: None,
    ) -> None:
        self.store, self.cache, self.pinned = store, cache, pinned
        self.model: Model | None = None
        self.refused: dict[str, str] = {}
        """Digests of bundles that cannot be used, with the reason."""
        self.waits_for = "a published model"
        self._prepare = prepare
        self._look_at = 0.0

    def look(self) -> bool:
        """Whether another model is served from now on; asks the store once a second at most."""
        if time.monotonic() < self._look_at:
            return False
        self._look_at = time.monotonic() + LOOK_EVERY_S
        digest = self._wanted()
        if not digest or digest in self.refused or (self.model is not None and self.model.digest == digest):
            return False
        try:
            model = self._load(models.fetch_bundle(self.store, digest, self.cache))
        except (InvalidBundle, ObjectNotFound) as error:
            self.refused[digest] = str(error)
            LOG.error("model %s cannot be used: %s", digest[:12], error)
            if self.model is None:
                self.waits_for = f"a published model ({digest[:12]} cannot be used: {error})"
            return False
        if self.model is not None:
            shutil.rmtree(self.model.encoder.bundle.folder, ignore_errors=True)
        self.model, self.waits_for = model, ""
        return True

    def _wanted(self) -> str:
        if self.model is not None and self.pinned:
            return self.model.digest
        try:
            return models.resolve(self.store, self.pinned) if self.pinned else models.latest(self.store)
        except (InvalidBundle, ObjectNotFound, ValueError, KeyError, TypeError) as error:
            if self.model is None:
                self.waits_for = f"a published model ({error})"
            return ""

    def _load(self, bundle: Bundle) -> Model:
        try:
            settings = FeatureSettings.of(bundle.manifest)
        except (KeyError, TypeError, InvalidSetting) as error:
            raise InvalidBundle(
                f"its manifest does not say how its features are made ({error}); train it with this version"
            ) from error
        self._prepare(settings.text)
        return Model(bundle.digest, ContentEncoder(bundle), settings)

"""What the feed needs of a model: its content encoders, and how its features are made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from interest.bundle import Bundle
from interest.encoding import ContentEncoder
from interest.errors import InvalidBundle
from interest.features.content import FeatureSettings
from interest.features.text import TextSettings


@dataclass(frozen=True)
class Model:
    """A model's content encoders, loaded; `inference.bundles` keeps it at the served one."""

    encoder: ContentEncoder
    settings: FeatureSettings

    @property
    def bundle(self) -> Bundle:
        """The bundle that they came in."""
        return self.encoder.bundle

    @property
    def digest(self) -> str:
        """The bundle's name."""
        return self.bundle.digest

    @staticmethod
    def of(bundle: Bundle, prepare: Callable[[TextSettings], None]) -> Model:
        """Load it, once all else that it needs is loaded by `prepare`; raises InvalidBundle."""
        try:
            settings = FeatureSettings.of(bundle.manifest)
        except (KeyError, TypeError) as error:
            raise InvalidBundle(
                f"the manifest of {bundle.digest[:12]} does not say how its features are made ({error}); "
                "train it with this version"
            ) from error
        prepare(settings.text)
        return Model(ContentEncoder(bundle), settings)

    def close(self) -> None:
        """Nothing to let go of but memory."""

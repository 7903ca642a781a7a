"""A video that comes after training gets the content that training would have given it."""

import numpy as np
import pytest

from interest.bundle import Bundle
from interest.encoding import ContentEncoder
from interest.features.content import Features
from interest.models.names import MODALITIES
from tests.interest.worlds import signal_features, small_world


@pytest.mark.parametrize("missing", [(), ("audio",), MODALITIES])
def test_content_is_that_of_the_catalogue_with_the_token_for_what_is_missing(
    bundle: Bundle, missing: tuple[str, ...]
) -> None:
    latents, *_ = small_world()
    features = signal_features(latents)
    table = bundle.catalogue()
    row = int(np.flatnonzero(features.present.all(axis=1))[0])
    arrays = {"video": features.frames[row], "audio": features.mfcc[row], "text": features.text[row]}
    made = ContentEncoder(bundle).encode(Features.of({k: v for k, v in arrays.items() if k not in missing}))
    for number, name in enumerate(MODALITIES):
        expected = table.missing[number] if name in missing else table.content[row, number]
        np.testing.assert_allclose(made[number], expected, atol=1e-4)

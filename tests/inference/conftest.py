from collections.abc import Iterator

import pytest

from interest.bundle import Bundle
from tests.inference.endpoint import Endpoint, running


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory, bundle: Bundle) -> Iterator[Endpoint]:
    """The serving side on free ports, shared by the session: use viewers of your own."""
    with running(tmp_path_factory.mktemp("serving"), bundle) as found:
        yield found

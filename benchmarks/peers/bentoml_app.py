"""BentoML: python -m bentoml serve benchmarks.peers.bentoml_app:Interest --port PORT"""

from typing import Any

import bentoml

from benchmarks.peers.host import Host


@bentoml.service(workers=1, traffic={"timeout": 60}, metrics={"enabled": False})
class Interest:
    """One worker."""

    def __init__(self) -> None:
        self.host = Host.from_env()

    @bentoml.api(route="/v1/models/interest:predict")
    def predict(self, instances: list[dict[str, Any]]) -> dict[str, Any]:
        return self.host.answer({"instances": instances})

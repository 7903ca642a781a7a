"""Pipelines to a cluster: submit a run, list the runs, wait for the end of one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp
from kfp.dsl.base_component import BaseComponent
from kfp_server_api.exceptions import ApiException
from urllib3.exceptions import HTTPError

from components.image import IMAGE
from pipelines.compile import checked, compiled
from pipelines.errors import ClusterUnreachable, ClusterUnset
from pipelines.lint import check

EXPERIMENT = "rapt"


@dataclass(frozen=True)
class Run:
    """A run on the cluster; `state` as Kubeflow Pipelines says it, `created_at` in ISO 8601."""

    run_id: str
    name: str
    state: str
    created_at: str


class Cluster:
    """The Kubeflow Pipelines API at `endpoint` (http://host:port)."""

    def __init__(self, endpoint: str, *, namespace: str = "kubeflow", token: str | None = None) -> None:
        """Raises ClusterUnset without an endpoint, ClusterUnreachable when nothing answers there."""
        if not endpoint:
            raise ClusterUnset(
                "no Kubeflow Pipelines endpoint is set: set RAPT_KFP_ENDPOINT, for example to "
                "http://127.0.0.1:8888 after `kubectl port-forward -n kubeflow svc/ml-pipeline 8888`; "
                "`rapt pipeline run` needs none"
            )
        self.endpoint = endpoint
        self._client = self._ask(lambda: kfp.Client(host=endpoint, namespace=namespace, existing_token=token))

    def submit(
        self, pipeline: BaseComponent, arguments: Mapping[str, Any], *, name: str = "", image: str = IMAGE
    ) -> str:
        """Start a run and return its id. Local files must be in the store already (`sources.uploaded`)."""
        check(compiled(pipeline))
        given = checked(pipeline, arguments)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "pipeline.yaml"
            path.write_text(compiled(pipeline, image))
            made = self._ask(
                lambda: self._client.create_run_from_pipeline_package(
                    str(path),
                    arguments=given,
                    run_name=name or None,
                    experiment_name=EXPERIMENT,
                    enable_caching=False,
                )
            )
        return str(made.run_id)

    def runs(self, limit: int = 20) -> list[Run]:
        """The latest runs, the newest first."""
        found = self._ask(lambda: self._client.list_runs(page_size=limit, sort_by="created_at desc")).runs or []
        return [Run(one.run_id, one.display_name, one.state, one.created_at.isoformat()) for one in found]

    def _ask(self, call: Any) -> Any:
        try:
            return call()
        except ApiException as error:
            raise ClusterUnreachable(
                f"Kubeflow Pipelines at {self.endpoint} refuses: {error.status} {error.reason}; "
                "check endpoint and token"
            ) from error
        except (HTTPError, OSError, RuntimeError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise ClusterUnreachable(
                f"Kubeflow Pipelines at {self.endpoint} does not answer: {first}; check the address and the "
                "port-forward"
            ) from error

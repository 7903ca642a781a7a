"""Pipelines to a cluster: submit a run, list the runs.

The API's own client, without `kfp.Client` around it, which prints, and repeats for 25 s when nothing answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import kfp_server_api as api
import yaml
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
    """The Kubeflow Pipelines API at `endpoint` (http://host:port); `namespace` where it serves several users."""

    def __init__(self, endpoint: str, *, namespace: str = "", token: str = "") -> None:
        """Raises ClusterUnset without an endpoint."""
        if not endpoint:
            raise ClusterUnset(
                "no Kubeflow Pipelines endpoint is set: set RAPT_KFP_ENDPOINT, for example to "
                "http://127.0.0.1:8888 after `kubectl port-forward -n kubeflow svc/ml-pipeline 8888`; "
                "`rapt pipeline run` needs none"
            )
        if not endpoint.startswith(("http://", "https://")):
            raise ClusterUnset(f"the Kubeflow Pipelines endpoint {endpoint!r} is not of the form http://host:port")
        self.endpoint = endpoint
        self._namespace = namespace or None
        options = api.Configuration(host=endpoint.rstrip("/"))
        if token:
            options.api_key, options.api_key_prefix = {"authorization": token}, {"authorization": "Bearer"}
        client = api.ApiClient(options)
        self._runs, self._experiments = api.RunServiceApi(client), api.ExperimentServiceApi(client)

    def submit(
        self, pipeline: BaseComponent, arguments: Mapping[str, Any], *, name: str = "", image: str = IMAGE
    ) -> str:
        """Start a run and return its id. Local files must be in the store already (`sources.uploaded`).

        Raises InvalidArgument and PipelineNotPortable before anything is sent, and ClusterUnreachable.
        """
        check(compiled(pipeline))
        given = checked(pipeline, arguments)
        own, platform = yaml.safe_load_all(compiled(pipeline, image))
        body = api.V2beta1Run(
            experiment_id=self._experiment(),
            display_name=name or pipeline.name,
            pipeline_spec={"pipeline_spec": own, "platform_spec": platform},
            runtime_config=api.V2beta1RuntimeConfig(parameters=given),
        )
        return str(self._ask(lambda: self._runs.run_service_create_run(run=body)).run_id)

    def runs(self, limit: int = 20) -> list[Run]:
        """The latest runs, the newest first."""
        found = self._ask(
            lambda: self._runs.run_service_list_runs(
                namespace=self._namespace, page_size=limit, sort_by="created_at desc"
            )
        )
        return [Run(one.run_id, one.display_name, one.state, one.created_at.isoformat()) for one in found.runs or []]

    def _experiment(self) -> str:
        """Id of the experiment that our runs belong to, made by the first of them."""
        named = {"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": EXPERIMENT}]}
        found = self._ask(
            lambda: self._experiments.experiment_service_list_experiments(
                namespace=self._namespace, filter=json.dumps(named)
            )
        )
        if found.experiments:
            return str(found.experiments[0].experiment_id)
        new = api.V2beta1Experiment(display_name=EXPERIMENT, namespace=self._namespace)
        made = self._ask(lambda: self._experiments.experiment_service_create_experiment(experiment=new))
        return str(made.experiment_id)

    def _ask(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except ApiException as error:
            raise ClusterUnreachable(
                f"Kubeflow Pipelines at {self.endpoint} refuses: {error.status} {error.reason}; "
                "check endpoint and token"
            ) from error
        except (HTTPError, OSError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise ClusterUnreachable(
                f"Kubeflow Pipelines at {self.endpoint} does not answer: {first}; check the address and the "
                "port-forward"
            ) from error

"""Pipelines on a cluster: start a run, now or on a schedule; list, look at and stop runs.

The API's own client, without `kfp.Client` around it, which prints, and repeats for 25 s when nothing answers.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import kfp_server_api as api
import yaml
from kfp.dsl.base_component import BaseComponent
from kfp_server_api.exceptions import ApiException
from urllib3.exceptions import HTTPError

from components.image import IMAGE
from pipelines.compile import checked, compiled
from pipelines.errors import ClusterRefused, ClusterUnreachable, ClusterUnset, InvalidArgument
from pipelines.lint import check
from pipelines.schedule import cron as cron_fields
from pipelines.schedule import interval_s

EXPERIMENT = "rapt"
PIPELINE_ROOT = re.compile(r"(s3|minio)://[a-z0-9][a-z0-9.-]{2,62}(/\S*)?")
TOKEN, TOKEN_PATH = "RAPT_KFP_TOKEN", "KF_PIPELINES_SA_TOKEN_PATH"
PROJECTED_TOKEN = Path("/var/run/secrets/kubeflow/pipelines/token")
"""Where Kubeflow's pods find a token for the audience `pipelines.kubeflow.org`; kfp looks in the same place."""
TIMEOUT_S = (10, 30)
"""Seconds to connect, and to wait for an answer."""
TOO_MANY = 429
REMEDIES = {
    401: f"give a token by {TOKEN} or kfp_token_file",
    403: "check the namespace, and what the token's owner may do there",
    404: "check the id (rapt pipeline runs --cluster), and the endpoint's path",
}


@dataclass(frozen=True)
class Run:
    """A run on the cluster; `state` as Kubeflow Pipelines says it, `created_at` in ISO 8601."""

    run_id: str
    name: str
    state: str
    created_at: str


@dataclass(frozen=True)
class Schedule:
    """A recurring run; `when` is its cron expression (seconds first) or `every N s`."""

    schedule_id: str
    name: str
    when: str
    status: str
    created_at: str


class Cluster:
    """The Kubeflow Pipelines API at `endpoint` (http://host:port); `namespace` where it serves several users."""

    def __init__(self, endpoint: str, *, namespace: str = "", token_file: str = "", ca_file: str = "") -> None:
        """The token of the API, if it wants one, is that of $RAPT_KFP_TOKEN, of `token_file`, or of the pod we run in.

        `ca_file`: certificate authority of an https endpoint (PEM). Raises ClusterUnset when something is missing.
        """
        if not endpoint:
            raise ClusterUnset(
                "no Kubeflow Pipelines endpoint is set: set RAPT_KFP_ENDPOINT, for example to "
                "http://127.0.0.1:8888 after `kubectl port-forward -n kubeflow svc/ml-pipeline 8888`; "
                "`rapt pipeline run` needs none"
            )
        if not endpoint.startswith(("http://", "https://")):
            raise ClusterUnset(f"the Kubeflow Pipelines endpoint {endpoint!r} is not of the form http://host:port")
        self.endpoint, self.namespace = endpoint.rstrip("/"), namespace
        options = api.Configuration(host=self.endpoint)
        if ca_file:
            if not Path(ca_file).is_file():
                raise ClusterUnset(f"kfp_ca_file = {ca_file!r} is no file; give the certificate authority as PEM")
            options.ssl_ca_cert = ca_file
        _authorize(options, token_file)
        client = api.ApiClient(options)
        self._runs, self._experiments = api.RunServiceApi(client), api.ExperimentServiceApi(client)
        self._recurring, self._pipelines = api.RecurringRunServiceApi(client), api.PipelineServiceApi(client)

    def submit(
        self,
        pipeline: BaseComponent,
        arguments: Mapping[str, Any],
        *,
        name: str = "",
        experiment: str = EXPERIMENT,
        image: str = IMAGE,
        pipeline_root: str = "",
    ) -> str:
        """Start a run and return its id. Local files must be in the store already (`sources.uploaded`).

        `pipeline_root` (s3://bucket/path): where its artifacts go; empty: where the cluster's kfp-launcher says.
        Raises InvalidArgument and PipelineNotPortable before anything is sent, ClusterRefused and ClusterUnreachable.
        """
        what = _source(pipeline, arguments, image, pipeline_root)
        body = api.V2beta1Run(experiment_id=self._experiment(experiment), display_name=name or pipeline.name, **what)
        return str(self._ask(self._runs.run_service_create_run, run=body).run_id)

    def schedule(
        self,
        pipeline: BaseComponent,
        arguments: Mapping[str, Any],
        *,
        cron: str = "",
        every: str = "",
        catch_up: bool = True,
        name: str = "",
        experiment: str = EXPERIMENT,
        image: str = IMAGE,
        pipeline_root: str = "",
    ) -> str:
        """Run again and again, one run at a time, by `cron` or `every` (30m, 24h); returns the schedule's id.

        With `catch_up` runs that were missed while the schedule was off are made up for. Raises InvalidSchedule,
        and what `submit` raises.
        """
        if cron:
            trigger = api.V2beta1Trigger(cron_schedule=api.V2beta1CronSchedule(cron=cron_fields(cron)))
        else:
            seconds = str(interval_s(every))
            trigger = api.V2beta1Trigger(periodic_schedule=api.V2beta1PeriodicSchedule(interval_second=seconds))
        what = _source(pipeline, arguments, image, pipeline_root)
        body = api.V2beta1RecurringRun(
            experiment_id=self._experiment(experiment),
            display_name=name or pipeline.name,
            mode=api.RecurringRunMode.ENABLE,
            max_concurrency="1",
            no_catchup=not catch_up,
            trigger=trigger,
            **what,
        )
        made = self._ask(self._recurring.recurring_run_service_create_recurring_run, recurring_run=body)
        return str(made.recurring_run_id)

    def runs(self, limit: int = 20) -> list[Run]:
        """The latest runs, the newest first."""
        found = self._ask(self._runs.run_service_list_runs, page_size=limit, sort_by="created_at desc", **self._within)
        return [Run(one.run_id, one.display_name, one.state or "", _iso(one.created_at)) for one in found.runs or []]

    def schedules(self, limit: int = 100) -> list[Schedule]:
        """The latest recurring runs, the newest first."""
        found = self._ask(
            self._recurring.recurring_run_service_list_recurring_runs,
            page_size=limit,
            sort_by="created_at desc",
            **self._within,
        )
        return [
            Schedule(one.recurring_run_id, one.display_name, _when(one.trigger), one.status, _iso(one.created_at))
            for one in found.recurring_runs or []
        ]

    def unschedule(self, schedule_id: str) -> None:
        """Delete a recurring run; the runs that it started stay."""
        self._ask(self._recurring.recurring_run_service_delete_recurring_run, recurring_run_id=schedule_id)

    def run(self, run_id: str) -> Any:
        """All that the API tells of a run, as its V2beta1Run."""
        return self._ask(self._runs.run_service_get_run, run_id=run_id)

    def spec(self, run: Any) -> dict[str, Any]:
        """The pipeline of a run, from the run itself or from the version that was uploaded."""
        found = run.pipeline_spec
        if not found and (version := run.pipeline_version_reference):
            found = self._ask(
                self._pipelines.pipeline_service_get_pipeline_version,
                pipeline_id=version.pipeline_id,
                pipeline_version_id=version.pipeline_version_id,
            ).pipeline_spec
        spec: dict[str, Any] = (found or {}).get("pipeline_spec", found or {})
        return spec

    def stop(self, run_id: str) -> None:
        """End a run: its pods are killed, it becomes FAILED or CANCELED a little later."""
        self._ask(self._runs.run_service_terminate_run, run_id=run_id)

    @property
    def _within(self) -> dict[str, str]:
        return {"namespace": self.namespace} if self.namespace else {}

    def _experiment(self, name: str) -> str:
        """Id of the experiment called `name`, made by the first run in it."""
        named = {"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]}
        found = self._ask(
            self._experiments.experiment_service_list_experiments, filter=json.dumps(named), **self._within
        )
        if found.experiments:
            return str(found.experiments[0].experiment_id)
        new = api.V2beta1Experiment(display_name=name, **self._within)
        return str(self._ask(self._experiments.experiment_service_create_experiment, experiment=new).experiment_id)

    def _ask(self, call: Callable[..., Any], **arguments: Any) -> Any:
        try:
            return call(**arguments, _request_timeout=TIMEOUT_S)
        except ApiException as error:
            told = f"{error.status} {error.reason}{_said(error.body)}"
            if error.status and error.status < 500 and error.status != TOO_MANY:
                remedy = REMEDIES.get(error.status, "nothing was changed")
                raise ClusterRefused(f"Kubeflow Pipelines at {self.endpoint} refuses: {told}; {remedy}") from error
            raise ClusterUnreachable(
                f"Kubeflow Pipelines at {self.endpoint} fails: {told}; see: kubectl -n kubeflow logs "
                "deployment/ml-pipeline"
            ) from error
        except (HTTPError, OSError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0][:300]
            raise ClusterUnreachable(
                f"Kubeflow Pipelines at {self.endpoint} does not answer: {first}; check the address and the "
                "port-forward"
            ) from error


def _authorize(options: Any, token_file: str) -> None:
    """Have every request carry the token; a file is read each time, since Kubernetes renews what it projects."""
    file = Path(token_file or os.environ.get(TOKEN_PATH) or PROJECTED_TOKEN)
    given = os.environ.get(TOKEN, "")
    if not given and not token_file and TOKEN_PATH not in os.environ and not file.is_file():
        return

    def renew(options: Any) -> None:
        try:
            options.api_key["authorization"] = given or file.read_text().strip()
        except OSError as error:
            raise ClusterUnset(f"cannot read the token of Kubeflow Pipelines in {file}: {error.strerror}") from error

    options.api_key_prefix["authorization"] = "Bearer"
    options.refresh_api_key_hook = renew
    renew(options)


def _source(pipeline: BaseComponent, arguments: Mapping[str, Any], image: str, pipeline_root: str) -> dict[str, Any]:
    """What a run and a schedule have in common: the pipeline, and what it is run with."""
    if pipeline_root and not PIPELINE_ROOT.fullmatch(pipeline_root):
        raise InvalidArgument(
            f"the pipeline root {pipeline_root!r} is not of the form s3://bucket/path or minio://bucket/path"
        )
    check(compiled(pipeline))
    given = checked(pipeline, arguments)
    own, *platform = yaml.safe_load_all(compiled(pipeline, image))
    return {
        "pipeline_spec": {"pipeline_spec": own, "platform_spec": platform[0]} if platform else own,
        "runtime_config": api.V2beta1RuntimeConfig(parameters=given, pipeline_root=pipeline_root or None),
    }


def _iso(moment: datetime | None) -> str:
    """A run that Kubeflow cannot read any more has an id and nothing else."""
    return moment.isoformat() if moment else ""


def _when(trigger: Any) -> str:
    if trigger and trigger.cron_schedule:
        return str(trigger.cron_schedule.cron)
    return f"every {trigger.periodic_schedule.interval_second} s" if trigger and trigger.periodic_schedule else ""


def _said(body: str | None) -> str:
    """The message in an error's body, which grpc-gateway writes as JSON; a proxy's page says nothing more."""
    try:
        message = " ".join(str(json.loads(body or "")["message"]).split())
    except (ValueError, KeyError, TypeError):
        return ""
    return f": {message[:400]}"

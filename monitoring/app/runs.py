"""Pipelines' runs: those of a laptop from their `run.json`, those of a cluster from Kubeflow Pipelines' API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import urllib3

from monitoring.app.errors import NoPipelines, PipelinesUnavailable
from monitoring.app.settings import Settings

MOST = 30
RECORD = "run.json"
TIMEOUT = urllib3.Timeout(connect=3.0, read=10.0)


@dataclass(frozen=True)
class Step:
    """A step of a run; `artifacts` are addresses or folders by name."""

    name: str
    state: str
    seconds: float | None
    reason: str
    artifacts: Mapping[str, str]


@dataclass(frozen=True)
class Run:
    """A run of a pipeline, `where` on a laptop or in Kubeflow; `began` in ISO 8601."""

    run_id: str
    pipeline: str
    state: str
    began: str
    seconds: float | None
    where: str
    steps: tuple[Step, ...]
    model: str = ""
    note: str = ""


def runs(settings: Settings) -> list[Run]:
    """The latest of all runs, the newest first; raises NoPipelines, PipelinesUnavailable."""
    if settings.runs is None and not settings.kfp_endpoint:
        raise NoPipelines("neither RAPT_RUNS nor RAPT_KFP_ENDPOINT is set; set one to see its runs")
    found = list(_local(settings.runs)) if settings.runs is not None else []
    if settings.kfp_endpoint:
        found += _kubeflow(settings)
    return sorted(found, key=lambda run: run.began, reverse=True)[:MOST]


def _local(folder: Path) -> Iterator[Run]:
    """A run whose record cannot be read is left out."""
    for path in sorted(folder.glob(f"*/{RECORD}"), reverse=True)[:MOST]:
        try:
            yield _of_record(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue


def _of_record(record: Mapping[str, Any]) -> Run:
    steps = tuple(
        Step(
            str(one["name"]), str(one["state"]), _number(one.get("seconds")), str(one.get("reason") or ""),
            {str(name): str(place) for name, place in (one.get("artifacts") or {}).items()},
        )
        for one in record["steps"]
    )  # fmt: skip
    return Run(
        str(record["run_id"]), str(record["pipeline"]), str(record["status"]), str(record["started_at"]),
        _number(record.get("seconds")), "this machine", steps, str(record.get("model") or ""),
        str(record.get("held_for") or ""),
    )  # fmt: skip


def _kubeflow(settings: Settings) -> list[Run]:
    fields = {"page_size": str(MOST), "sort_by": "created_at desc"}
    if settings.kfp_namespace:
        fields["namespace"] = settings.kfp_namespace
    url = f"{settings.kfp_endpoint}/apis/v2beta1/runs"
    pool = urllib3.PoolManager(ca_certs=settings.kfp_ca_file or None)
    try:
        answer = pool.request("GET", url, fields=fields, headers=_token(settings), timeout=TIMEOUT, retries=False)
        if answer.status != 200:
            raise PipelinesUnavailable(f"{url} answers {answer.status}: check the endpoint, its token and namespace")
        return [_of_api(one) for one in answer.json().get("runs") or []]
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise PipelinesUnavailable(f"no answer from {url} ({type(error).__name__}): is the API reachable?") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PipelinesUnavailable(f"{url} answers what is no list of runs ({error}): is it Kubeflow's?") from error


def _token(settings: Settings) -> dict[str, str]:
    try:
        token = settings.kfp_token or (Path(settings.kfp_token_file).read_text() if settings.kfp_token_file else "")
    except OSError as error:
        raise PipelinesUnavailable(f"RAPT_KFP_TOKEN_FILE={settings.kfp_token_file!r}: {error.strerror}") from error
    words = token.split()
    if len(words) > 1:  # else the error of the header would tell the token
        raise PipelinesUnavailable("the token of RAPT_KFP_TOKEN, RAPT_KFP_TOKEN_FILE is more than one word")
    return {"Authorization": f"Bearer {words[0]}"} if words else {}


def _of_api(run: Mapping[str, Any]) -> Run:
    root = str((run.get("runtime_config") or {}).get("pipeline_root") or "")
    details = (run.get("run_details") or {}).get("task_details") or []
    steps = tuple(
        Step(
            str(one.get("display_name") or one.get("task_id")), str(one.get("state") or "PENDING"),
            _between(one.get("start_time"), one.get("end_time")), str((one.get("error") or {}).get("message") or ""),
            {},
        )
        for one in details
    )  # fmt: skip
    return Run(
        str(run["run_id"]), str(run.get("display_name") or ""), str(run.get("state") or "PENDING"),
        str(run.get("created_at") or ""), _between(run.get("created_at"), run.get("finished_at")), "Kubeflow", steps,
        note=f"artifacts under {root}" if root else str((run.get("error") or {}).get("message") or ""),
    )  # fmt: skip


def _between(begin: object, end: object) -> float | None:
    """Seconds; None while it is not over, which Kubeflow tells by 1970."""
    try:
        first, last = (datetime.fromisoformat(str(one)) for one in (begin, end))
    except ValueError:
        return None
    passed = (last - first).total_seconds()
    return passed if passed >= 0 else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None

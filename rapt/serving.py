"""The serving side of the stack: feeder, predictor, explainer, catalogue feed, and the transformer before them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

import urllib3

from rapt.service import Service
from rapt.settings import Settings

PORT_SETTING = "serving_port"
OFFSETS = {
    "transformer": (0, 1),
    "predictor": (2, 3),
    "explainer": (4, 5),
    "feeder": (6,),
    "catalogue-feed": (7,),
    "labels": (8,),
    "experiments": (9,),
    "candidate": (10, 11),
    "retraining": (12,),
    "reports": (13,),
    "dashboard": (14,),
}
"""Ports after `serving_port`: HTTP, then gRPC where there is one."""
PROBE_S = 2.0


def ports(settings: Settings, name: str) -> tuple[int, ...]:
    """The ports of one of the processes."""
    return tuple(settings.serving_port + offset for offset in OFFSETS[name])


def backends(settings: Settings, environment: dict[str, str]) -> list[Service]:
    """What the transformer needs, in any order."""
    model = ("--model", settings.serving_model) if settings.serving_model else ()
    state = {
        "RAPT_STATE_MEMORY_MIB": str(settings.state_memory_mib),
        "RAPT_STATE_CHECKPOINT_S": f"{settings.state_checkpoint_s:g}",
    }
    allowed = {"RAPT_ALLOW_PRIVATE_ADDRESSES": settings.allow_private_addresses}
    return [
        _service(settings, environment | state, "feeder", ready="/ready"),
        _service(settings, environment, "predictor", *model, ready="/v2/health/ready", needs_model=True),
        _service(settings, environment, "explainer", *model, ready="/v2/health/ready", needs_model=True),
        _service(settings, environment | allowed, "catalogue-feed", *model, ready="/ready", needs_model=True),
    ]


def transformer(settings: Settings, environment: dict[str, str]) -> Service:
    """The endpoint."""
    backends = {name: ports(settings, name)[0] for name in ("predictor", "explainer")}
    return _service(
        settings,
        environment,
        "transformer",
        *(text for name, port in backends.items() for text in (f"--{name}_host", f"127.0.0.1:{port}")),
        "--workers",
        str(settings.serving_workers),
        ready="/v2/health/ready",
        needs_model=True,
    )


def candidate(settings: Settings, environment: dict[str, str], digest: str) -> Service:
    """The predictor of a model on trial, which the experiments' loop starts and ends."""
    return _service(
        settings, environment, "candidate", "--model", digest, module="inference.predictor", ready="/v2/health/ready"
    )


def observers(settings: Settings, environment: dict[str, str]) -> list[Service]:
    """What joins exposures with their outcomes, decides experiments by them, trains again, reports, and shows it."""
    window = {
        "RAPT_LABEL_WINDOW_S": f"{settings.label_window_s:g}",
        "RAPT_LABEL_SLACK_S": f"{settings.label_slack_s:g}",
        "RAPT_LABEL_COMMIT_S": "1",
        "RAPT_LABEL_ROWS_S": "2",
    }
    labels = _service(settings, environment | window, "labels", module="monitoring.labels", ready="/ready")
    loops = ["experiments"] + (["retraining"] if settings.retrain_every_s else [])
    return [labels, *(_loop(settings, name) for name in loops), *_shown(settings, environment)]


def _shown(settings: Settings, environment: dict[str, str]) -> list[Service]:
    """What people look at, unless they do not want it."""
    if not settings.dashboard:
        return []
    often = ("--report-every", f"{settings.report_every_s:g}", "--keep-days", f"{settings.report_keep_days:g}")
    reports = _service(settings, environment, "reports", *often, module="monitoring.reports", ready="/ready")
    given = {
        "RAPT_ENDPOINT": settings.endpoint,
        "RAPT_RUNS": str(settings.home / "runs"),
        "RAPT_REPORTS": reports.address,
        "RAPT_KFP_ENDPOINT": settings.kfp_endpoint,
        "RAPT_KFP_NAMESPACE": settings.kfp_namespace,
        "RAPT_KFP_TOKEN_FILE": settings.kfp_token_file,
        "RAPT_KFP_CA_FILE": settings.kfp_ca_file,
    }
    dashboard = _service(settings, environment | given, "dashboard", module="monitoring.app", ready="/_stcore/health")
    return [reports, replace(dashboard, status=lambda: None)]


def _loop(settings: Settings, name: str) -> Service:
    """A process of this package's own, with all settings."""
    made = _service(settings, settings.variables(), name, ready="/ready")
    return replace(made, command=(sys.executable, "-m", f"rapt.{name}", "--port", str(ports(settings, name)[0])))


def _service(
    settings: Settings,
    environment: dict[str, str],
    name: str,
    *arguments: str,
    ready: str,
    module: str = "",
    needs_model: bool = False,
) -> Service:
    taken = ports(settings, name)
    flags = ("--http_port", "--grpc_port") if len(taken) == 2 else ("--port",)
    numbers: Sequence[str] = [text for flag, port in zip(flags, taken, strict=True) for text in (flag, str(port))]
    address = f"http://127.0.0.1:{taken[0]}"
    return Service(
        name=name,
        command=(
            sys.executable,
            "-m",
            module or f"inference.{name.replace('-', '_')}",
            "--host",
            "127.0.0.1",
            *numbers,
            *arguments,
        ),
        environment={**environment, "RAPT_STATE_FOLDER": str(settings.state_folder), "OMP_NUM_THREADS": "1"},
        ports=taken,
        port_setting=PORT_SETTING,
        address=address,
        data=settings.state_folder if name == "feeder" else settings.home / "serving" / name,
        ready=lambda: answers(address + ready),
        needs_model=needs_model,
        status=lambda: document(f"{address}/status"),
    )


def document(url: str) -> dict[str, object] | None:
    """The JSON object that a GET is answered with; None when it is not."""
    try:
        answer = urllib3.request("GET", url, timeout=PROBE_S, retries=False)
        return dict(answer.json()) if answer.status == 200 else None
    except (urllib3.exceptions.HTTPError, ValueError, TypeError):
        return None


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        return urllib3.request("GET", url, timeout=PROBE_S, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False

"""What people look at on the cluster: pages behind Services, Grafana's dashboards; test_experiments has the reports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from monitoring.dashboards.build import BOARDS, build
from rapt.cluster.create import forwarded, have_chart
from rapt.errors import ClusterFailed
from tests.cluster.deployed import Deployed

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]

PAGES = {"dashboard": "/_stcore/health", "reports": "/", "evidently": "/api/projects"}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_answers_behind_its_service(served: Deployed, name: str) -> None:
    served.cluster("rollout", "status", f"deployment/rapt-{name}", "--timeout=120s", deadline_s=130)
    with forwarded(served.cluster, f"service/rapt-{name}", 80) as port:
        assert httpx.get(f"http://127.0.0.1:{port}{PAGES[name]}", timeout=30).status_code == httpx.codes.OK


def test_pages_live_without_a_root_or_a_place_to_write(served: Deployed) -> None:
    for name in PAGES:
        with pytest.raises(ClusterFailed, match="Read-only file system"):
            served.cluster("exec", f"deployment/rapt-{name}", "--", "python", "-c", "open('/opt/x', 'w')")
        assert served.cluster("exec", f"deployment/rapt-{name}", "--", "id", "-u").strip() == "10001"


def test_grafana_is_given_the_dashboards(served: Deployed) -> None:
    found = served.cluster.get("configmap", "rapt-dashboards")
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert {name: json.loads(text) for name, text in found["data"].items()} == {
        f"{board.uid}.json": build(board) for board in BOARDS
    }


def test_each_can_be_switched_off(served: Deployed, tmp_path: Path) -> None:
    values = tmp_path / "values.yaml"
    values.write_text("{evidently: {enabled: false}, dashboard: {enabled: false}, reports: {enabled: false},"
                      " grafana: {enabled: false}}")  # fmt: skip
    try:
        have_chart(replace(served.plan, values=(*served.plan.values, values)))
        names = {one["metadata"]["name"] for kind in ("deployments", "services", "cronjobs", "configmaps")
                 for one in served.cluster.items(kind)}  # fmt: skip
        assert not names & {f"rapt-{name}" for name in (*PAGES, "report", "dashboards")}
    finally:
        have_chart(served.plan)

"""What people look at, on the cluster: reports made by the clock, pages behind Services, dashboards for Grafana."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from msgspec.structs import replace as changed

from interest.bundle import Bundle
from interest.catalog import Catalog
from monitoring.dashboards.build import BOARDS, build
from rapt.cluster.create import forwarded, have_chart
from rapt.cluster.models import object_store
from rapt.errors import ClusterFailed
from tests.cluster.deployed import Deployed
from tests.interest.worlds import small_world
from tests.observed import observe
from wire import models, reports
from wire.reports import MODEL

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

PAGES = {"dashboard": "/_stcore/health", "reports": "/", "evidently": "/api/projects"}


def test_the_cron_job_makes_a_report_that_the_pages_show(served: Deployed, bundle: Bundle, tmp_path: Path) -> None:
    latents, catalog, _, _ = small_world()
    Catalog(tuple(changed(one, topic="cats") for one in catalog)).write(tmp_path)
    with object_store(served.cluster) as store:
        for file in tmp_path.iterdir():
            store.put_file(f"datasets/{bundle.manifest['data']['dataset']}/{file.name}", file)
        models.promote(store, bundle.digest)
        head = (
            json.loads(store.get_bytes("observations/head.json"))["seq"]
            if store.exists("observations/head.json")
            else 0
        )
        served.cluster("scale", "deployment/rapt-labels", "--replicas=0")  # there may be one writer only
        observe(store, head + 1, bundle, catalog, latents, seed=1)
    try:
        served.cluster("create", "job", "report-now", "--from=cronjob/rapt-report")
        served.cluster("wait", "job/report-now", "--for=condition=Complete", "--timeout=300s", deadline_s=310)
        with object_store(served.cluster) as store:
            made = reports.newest(store, 1, MODEL)[0]
            assert store.get_bytes(made.files["evidently.html"]).count(b"<html") == 1
        assert made.model == bundle.digest and made.verdict is not None and made.quality[0].viewers == 700
        assert abs(made.made_ms / 1000 - time.time()) < 600
        with forwarded(served.cluster, "service/rapt-reports", 80) as port:
            page = httpx.get(f"http://127.0.0.1:{port}/", timeout=30).text
            assert made.name in page
            assert "rapt_model_ne" in httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
        with forwarded(served.cluster, "service/rapt-evidently", 80) as port:

            def shown() -> bool:
                (project,) = httpx.get(f"http://127.0.0.1:{port}/api/projects", timeout=30).json()
                runs = httpx.get(f"http://127.0.0.1:{port}/api/projects/{project['id']}/reports", timeout=30).json()
                return made.name in {one["name"] for one in runs}

            served.until(shown, "Evidently shows it", 90)
    finally:
        served.cluster("delete", "job", "report-now", "--ignore-not-found")
        served.cluster("scale", "deployment/rapt-labels", "--replicas=1")


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

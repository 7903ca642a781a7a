"""`rapt dashboards prometheus`; tests/monitoring/dashboards/test_live.py has a Prometheus that goes by it."""

import json
from pathlib import Path

import yaml
from typer.testing import CliRunner

from rapt import cli, serving
from tests.monitoring.promtool import needs_promtool, promtool


def told(tmp_path: Path, *options: str, **variables: str) -> str:
    env = {"RAPT_HOME": str(tmp_path), "RAPT_SERVING_PORT": "18080", **variables}
    done = CliRunner(env=env).invoke(cli.app, ["dashboards", "prometheus", *options], catch_exceptions=False)
    return done.stdout


def test_a_job_for_each_process_at_its_port_and_the_retraining_service_where_it_is_on(tmp_path: Path) -> None:
    made = json.loads(told(tmp_path, "--json"))
    jobs = {one["job_name"]: one["static_configs"][0]["targets"] for one in made["scrape_configs"]}
    assert jobs == {
        name: [f"127.0.0.1:{18080 + offsets[0]}"]
        for name, offsets in serving.OFFSETS.items()
        if name not in {"retraining", "dashboard"}
    }
    assert yaml.safe_load(told(tmp_path)) == made
    assert Path(made["rule_files"][0]).is_file()
    assert "retraining" in told(tmp_path, RAPT_RETRAIN_EVERY_S="60")
    assert "reports" not in told(tmp_path, RAPT_DASHBOARD="false")


@needs_promtool
def test_prometheus_takes_it(tmp_path: Path) -> None:
    (tmp_path / "prometheus.yml").write_text(told(tmp_path))
    promtool("check", "config", tmp_path / "prometheus.yml")

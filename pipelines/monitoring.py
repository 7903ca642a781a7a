"""The monitoring pipeline: how the serving model does, as a report. Run it by the clock.

rapt pipeline schedule monitoring --every 1h
"""

from kfp import dsl

from components.report_drift.component import report_drift
from pipelines.tasks import LEARN, task_of


@dsl.pipeline(name="monitoring", description="Observations to a report of quality and drift")
def monitoring(keep_days: float = 7.0) -> None:
    """`keep_days`: reports older than this are deleted."""
    task_of(report_drift(keep_days=keep_days), LEARN)

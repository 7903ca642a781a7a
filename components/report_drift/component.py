"""The component `report_drift` around `step.run`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report_drift(page: dsl.Output[dsl.HTML], metrics: dsl.Output[dsl.Metrics], keep_days: float = 7.0) -> str:
    """Report how the serving model does, and what has drifted."""
    from components.measured import run_measured

    return run_measured(
        "report_drift", metrics, inputs={}, outputs={"page": page.path}, params={"keep_days": keep_days}, fresh=True
    )["verdict"]

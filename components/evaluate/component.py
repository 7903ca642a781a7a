"""The component `evaluate` around `step.run`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    report: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    max_targets: int = 12_000,
    bootstrap_resamples: int = 200,
    threads: int = 2,
) -> str:
    """Judge a bundle on the last tenth of the time and decide whether to publish it."""
    from components.measured import run_measured

    return run_measured(
        "evaluate",
        metrics,
        inputs={"dataset": dataset.path, "model": model.path},
        outputs={"report": report.path},
        params={"max_targets": max_targets, "bootstrap_resamples": bootstrap_resamples, "threads": threads},
    )["verdict"]

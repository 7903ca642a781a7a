"""The component `compare` around `step.run`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def compare(
    dataset: dsl.Input[dsl.Dataset],
    model: dsl.Input[dsl.Model],
    serving: dsl.Input[dsl.Model],
    report: dsl.Output[dsl.Artifact],
    metrics: dsl.Output[dsl.Metrics],
    bootstrap_resamples: int = 400,
    threads: int = 2,
) -> str:
    """Judge a bundle beside the one that serves, on the last tenth of the time."""
    from components.measured import run_measured

    return run_measured(
        "compare",
        metrics,
        inputs={"dataset": dataset.path, "model": model.path, "serving": serving.path},
        outputs={"report": report.path},
        params={"bootstrap_resamples": bootstrap_resamples, "threads": threads},
    )["verdict"]

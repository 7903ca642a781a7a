"""The component `publish` around `step.run`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def publish(
    model: dsl.Input[dsl.Model],
    report: dsl.Input[dsl.Artifact],
    dataset: dsl.Input[dsl.Dataset],
    bundle: dsl.Output[dsl.Model],
) -> str:
    """Put a model that passed the gate where serving finds it."""
    from components.runtime import run_step

    return run_step(
        "publish",
        inputs={"model": model.path, "report": report.path, "dataset": dataset.path},
        outputs={"bundle": bundle.path},
        params={},
    )["digest"]

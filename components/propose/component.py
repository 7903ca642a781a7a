"""The component `propose` around `step.run`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def propose(
    model: dsl.Input[dsl.Model],
    report: dsl.Input[dsl.Artifact],
    dataset: dsl.Input[dsl.Dataset],
    bundle: dsl.Output[dsl.Model],
    experiment: str = "",
) -> str:
    """Publish a better model as a candidate and ask for an experiment with it."""
    from components.runtime import run_step

    return run_step(
        "propose",
        inputs={"model": model.path, "report": report.path, "dataset": dataset.path},
        outputs={"bundle": bundle.path},
        params={"experiment": experiment},
    )["experiment"]

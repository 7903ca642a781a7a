"""The component `build_dataset` around `step.run`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def build_dataset(
    catalog: dsl.Input[dsl.Dataset],
    events: dsl.Input[dsl.Dataset],
    dataset: dsl.Output[dsl.Dataset],
) -> None:
    """Events to point-in-time samples, split by time."""
    from components.runtime import run_step

    run_step(
        "build_dataset",
        inputs={"catalog": catalog.path, "events": events.path},
        outputs={"dataset": dataset.path},
        params={},
    )

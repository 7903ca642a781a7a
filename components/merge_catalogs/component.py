"""The component `merge_catalogs` around `step.run`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def merge_catalogs(
    first: dsl.Input[dsl.Dataset],
    second: dsl.Input[dsl.Dataset],
    catalog: dsl.Output[dsl.Dataset],
) -> None:
    """Join two catalogues."""
    from components.runtime import run_step

    run_step(
        "merge_catalogs",
        inputs={"first": first.path, "second": second.path},
        outputs={"catalog": catalog.path},
        params={},
    )

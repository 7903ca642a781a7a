"""The component `preprocess_text` around `step.run`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def preprocess_text(
    catalog: dsl.Input[dsl.Dataset],
    features: dsl.Output[dsl.Dataset],
    max_failed_share: float = 0.5,
) -> None:
    """The catalogue's videos to caption embeddings."""
    from components.runtime import run_step

    run_step(
        "preprocess_text",
        inputs={"catalog": catalog.path},
        outputs={"features": features.path},
        params={"max_failed_share": max_failed_share},
    )

"""The component `download` around `step.run`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def download(
    catalog: dsl.Output[dsl.Dataset],
    videos: str = "",
    max_failed_share: float = 0.5,
    videos_digest: str = "",
) -> None:
    """Videos of a list into the object store, and their catalogue."""
    from components.runtime import run_step

    run_step(
        "download",
        inputs={},
        outputs={"catalog": catalog.path},
        params={"videos": videos, "max_failed_share": max_failed_share},
        contents={"videos_digest": videos_digest},
    )

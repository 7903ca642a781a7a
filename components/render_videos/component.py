"""The component `render_videos` around `step.run`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def render_videos(
    catalog: dsl.Output[dsl.Dataset],
    world: dsl.Output[dsl.Artifact],
    videos: int,
    seed: int = 0,
) -> None:
    """Render a simulated world's videos."""
    from components.runtime import run_step

    run_step(
        "render_videos",
        inputs={},
        outputs={"catalog": catalog.path, "world": world.path},
        params={"videos": videos, "seed": seed},
    )

"""The component `simulate_user_logs` around `step.run`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def simulate_user_logs(
    catalog: dsl.Input[dsl.Dataset],
    world: dsl.Input[dsl.Artifact],
    events: dsl.Output[dsl.Dataset],
    viewers: int,
    events_per_viewer: int,
    seed: int = 0,
) -> None:
    """Let the simulated world's viewers loose on a catalogue."""
    from components.runtime import run_step

    run_step(
        "simulate_user_logs",
        inputs={"catalog": catalog.path, "world": world.path},
        outputs={"events": events.path},
        params={"viewers": viewers, "events_per_viewer": events_per_viewer, "seed": seed},
    )

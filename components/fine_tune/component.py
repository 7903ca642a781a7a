"""The component `fine_tune` around `step.run`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def fine_tune(
    dataset: dsl.Input[dsl.Dataset],
    serving: dsl.Input[dsl.Model],
    model: dsl.Output[dsl.Model],
    seed: int = 0,
    threads: int = 2,
    epochs: int = 6,
    rate: float = 1e-3,
) -> str:
    """Observations and the model that serves to a sealed model bundle."""
    from components.runtime import run_step

    return run_step(
        "fine_tune",
        inputs={"dataset": dataset.path, "serving": serving.path},
        outputs={"model": model.path},
        params={"seed": seed, "threads": threads, "epochs": epochs, "rate": rate},
    )["digest"]

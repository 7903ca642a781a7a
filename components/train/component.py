"""The component `train` around `step.run`."""

from kfp import dsl

from components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(
    dataset: dsl.Input[dsl.Dataset],
    video_features: dsl.Input[dsl.Dataset],
    audio_features: dsl.Input[dsl.Dataset],
    text_features: dsl.Input[dsl.Dataset],
    model: dsl.Output[dsl.Model],
    seed: int = 0,
    threads: int = 2,
    backbone: str = "cnn3d",
    content_epochs: int = 30,
    epochs: int = 12,
) -> str:
    """Samples and features to a sealed model bundle."""
    from components.runtime import run_step

    return run_step(
        "train",
        inputs={
            "dataset": dataset.path,
            "video_features": video_features.path,
            "audio_features": audio_features.path,
            "text_features": text_features.path,
        },
        outputs={"model": model.path},
        params={
            "seed": seed,
            "threads": threads,
            "backbone": backbone,
            "content_epochs": content_epochs,
            "epochs": epochs,
        },
    )["digest"]

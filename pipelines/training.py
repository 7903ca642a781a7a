"""The training pipelines: from clips and logs to a published engagement model.

`training` renders a world and simulates its viewers; `training_from_logs` takes users' own logs. Both may
take videos of one's own. The same functions run under `pipelines.local`, compile, and go to a cluster.
"""

from kfp import dsl

from components.build_dataset.component import build_dataset
from components.download.component import download
from components.evaluate.component import evaluate
from components.import_user_logs.component import import_user_logs
from components.merge_catalogs.component import merge_catalogs
from components.preprocess_audio.component import preprocess_audio
from components.preprocess_text.component import preprocess_text
from components.preprocess_video.component import preprocess_video
from components.publish.component import publish
from components.render_videos.component import render_videos
from components.simulate_user_logs.component import simulate_user_logs
from components.train.component import train
from pipelines.tasks import LEARN, LIGHT, MEDIA, task_of


def _model(
    catalog: dsl.Dataset,
    events: dsl.Dataset,
    seed: int,
    backbone: str,
    content_epochs: int,
    epochs: int,
    threads: int,
    max_failed_share: float,
    max_targets: int,
    bootstrap_resamples: int,
) -> None:
    """Catalogue and events to a judged model, published when it passes the gate."""
    pictures = task_of(preprocess_video(catalog=catalog, max_failed_share=max_failed_share), MEDIA)
    sound = task_of(preprocess_audio(catalog=catalog, max_failed_share=max_failed_share), MEDIA)
    text = task_of(preprocess_text(catalog=catalog, max_failed_share=max_failed_share), MEDIA)
    dataset = task_of(build_dataset(catalog=catalog, events=events), LIGHT).outputs["dataset"]
    learned = task_of(
        train(
            dataset=dataset,
            video_features=pictures.outputs["features"],
            audio_features=sound.outputs["features"],
            text_features=text.outputs["features"],
            seed=seed,
            threads=threads,
            backbone=backbone,
            content_epochs=content_epochs,
            epochs=epochs,
        ),
        LEARN,
    )
    model = learned.outputs["model"]
    judged = task_of(
        evaluate(
            dataset=dataset,
            model=model,
            max_targets=max_targets,
            bootstrap_resamples=bootstrap_resamples,
            threads=threads,
        ),
        LEARN,
        retries=0,
    )
    with dsl.If(judged.outputs["Output"] == "publish", name="passed-the-gate"):
        task_of(publish(model=model, report=judged.outputs["report"], dataset=dataset), LIGHT)


@dsl.pipeline(name="training", description="Videos and a simulated world to a published engagement model")
def training(
    videos: str = "",
    videos_digest: str = "",
    world_videos: int = 300,
    viewers: int = 1500,
    events_per_viewer: int = 80,
    seed: int = 0,
    backbone: str = "cnn3d",
    content_epochs: int = 30,
    epochs: int = 12,
    threads: int = 2,
    max_failed_share: float = 0.5,
    max_targets: int = 12_000,
    bootstrap_resamples: int = 200,
) -> None:
    """`videos`: path or s3:// of a list of videos ("" for none), `videos_digest`: of its content."""
    own = task_of(
        download(videos=videos, videos_digest=videos_digest, max_failed_share=max_failed_share),
        LIGHT,
        retries=2,
    )
    world = task_of(render_videos(videos=world_videos, seed=seed), MEDIA)
    merged = task_of(merge_catalogs(first=own.outputs["catalog"], second=world.outputs["catalog"]), LIGHT)
    logs = task_of(
        simulate_user_logs(
            catalog=merged.outputs["catalog"],
            world=world.outputs["world"],
            viewers=viewers,
            events_per_viewer=events_per_viewer,
            seed=seed,
        ),
        LIGHT,
    )
    _model(
        merged.outputs["catalog"], logs.outputs["events"], seed, backbone, content_epochs, epochs, threads,
        max_failed_share, max_targets, bootstrap_resamples,
    )  # fmt: skip


@dsl.pipeline(name="training-from-logs", description="Videos and users' logs to a published engagement model")
def training_from_logs(
    source: str,
    source_digest: str = "",
    layout: str = "auto",
    videos: str = "",
    videos_digest: str = "",
    seed: int = 0,
    backbone: str = "cnn3d",
    content_epochs: int = 30,
    epochs: int = 12,
    threads: int = 2,
    max_failed_share: float = 0.5,
    max_targets: int = 12_000,
    bootstrap_resamples: int = 200,
) -> None:
    """`source`: path or s3:// of the logs, in the canonical columns or a public `layout`."""
    own = task_of(
        download(videos=videos, videos_digest=videos_digest, max_failed_share=max_failed_share),
        LIGHT,
        retries=2,
    )
    logs = task_of(
        import_user_logs(
            catalog=own.outputs["catalog"],
            source=source,
            source_digest=source_digest,
            layout=layout,
            max_rejected_share=max_failed_share,
        ),
        MEDIA,
    )
    _model(
        logs.outputs["catalog_out"], logs.outputs["events"], seed, backbone, content_epochs, epochs, threads,
        max_failed_share, max_targets, bootstrap_resamples,
    )  # fmt: skip

"""Pipelines of our components, small enough to run in a test."""

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


@dsl.pipeline(name="world")
def world(videos: str = "", videos_digest: str = "", world_videos: int = 6, viewers: int = 10, seed: int = 0) -> None:
    own = download(videos=videos, videos_digest=videos_digest)
    made = render_videos(videos=world_videos, seed=seed)
    merged = merge_catalogs(first=own.outputs["catalog"], second=made.outputs["catalog"])
    text = preprocess_text(catalog=merged.outputs["catalog"])
    logs = simulate_user_logs(
        catalog=merged.outputs["catalog"], world=made.outputs["world"], viewers=viewers, events_per_viewer=12, seed=seed
    )
    dataset = build_dataset(catalog=merged.outputs["catalog"], events=logs.outputs["events"])
    for task in (own, made, merged, text, logs, dataset):
        task.set_caching_options(False)


@dsl.pipeline(name="films")
def films(world_videos: int = 80, seed: int = 0) -> None:
    render_videos(videos=world_videos, seed=seed).set_caching_options(False)


@dsl.pipeline(name="fetch")
def fetch(videos: str = "", videos_digest: str = "") -> None:
    download(videos=videos, videos_digest=videos_digest).set_caching_options(False).set_retry(num_retries=3)


@dsl.pipeline(name="own")
def own(videos: str, source: str, videos_digest: str = "", source_digest: str = "") -> None:
    brought = download(videos=videos, videos_digest=videos_digest)
    logs = import_user_logs(catalog=brought.outputs["catalog"], source=source, source_digest=source_digest)
    pictures = preprocess_video(catalog=logs.outputs["catalog_out"])
    sound = preprocess_audio(catalog=logs.outputs["catalog_out"])
    for task in (brought, logs, pictures, sound):
        task.set_caching_options(False)


@dsl.pipeline(name="ungated")
def ungated(
    world_videos: int, viewers: int, events_per_viewer: int, content_epochs: int, epochs: int, threads: int,
    bootstrap_resamples: int,
) -> None:  # fmt: skip
    """`training` on rendered videos alone, its model published whatever the verdict."""
    brought = download()
    made = render_videos(videos=world_videos)
    merged = merge_catalogs(first=brought.outputs["catalog"], second=made.outputs["catalog"])
    catalog = merged.outputs["catalog"]
    logs = simulate_user_logs(
        catalog=catalog, world=made.outputs["world"], viewers=viewers, events_per_viewer=events_per_viewer
    )
    built = build_dataset(catalog=catalog, events=logs.outputs["events"])
    dataset = built.outputs["dataset"]
    pictures, sound, text = (make(catalog=catalog) for make in (preprocess_video, preprocess_audio, preprocess_text))
    learned = train(
        dataset=dataset,
        video_features=pictures.outputs["features"],
        audio_features=sound.outputs["features"],
        text_features=text.outputs["features"],
        content_epochs=content_epochs,
        epochs=epochs,
        threads=threads,
    )
    model = learned.outputs["model"]
    judged = evaluate(dataset=dataset, model=model, bootstrap_resamples=bootstrap_resamples, threads=threads)
    sent = publish(model=model, report=judged.outputs["report"], dataset=dataset)
    for task in (brought, made, merged, logs, built, pictures, sound, text, learned, judged, sent):
        task.set_caching_options(False)


@dsl.pipeline(name="media")
def media(world_videos: int = 130, seed: int = 0) -> None:
    made = render_videos(videos=world_videos, seed=seed)
    pictures = preprocess_video(catalog=made.outputs["catalog"])
    for task in (made, pictures):
        task.set_caching_options(False)

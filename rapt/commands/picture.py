"""`rapt picture`: maps of embeddings, what an encoder sees, heat over frames, calibration, an experiment's course."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rapt.errors import InvalidOption
from rapt.output import JsonFlag, print_json

if TYPE_CHECKING:
    from rapt.pictures import Modelled
    from wire.objects import ObjectStore

PANEL = "Models"
EXPLAIN_S = 30.0
"""Seconds that an explanation may take: its frames are decoded anew."""

app = typer.Typer()
group = typer.Typer(name="picture", help="Pictures of models and experiments, as PNG or SVG.", no_args_is_help=True)
app.add_typer(group, rich_help_panel=PANEL)


class Of(StrEnum):
    """Whose embeddings."""

    VIDEOS = "videos"
    VIEWERS = "viewers"


class By(StrEnum):
    """What colours a point."""

    TOPIC = "topic"
    ENGAGEMENT = "engagement"


class On(StrEnum):
    """What predictions are held against."""

    OBSERVATIONS = "observations"
    TEST = "test"


File = Annotated[Path, typer.Argument(help="Where to, .png or .svg; its folder is made when it is not there.")]
Model = Annotated[str, typer.Option(help="First digits of a model's digest.", show_default="latest")]
Video = Annotated[str, typer.Option(help="The video's id.")]


@group.command()
def tsne(
    file: File,
    of: Annotated[Of, typer.Option(help="Whose embeddings.")] = Of.VIDEOS,
    by: Annotated[By, typer.Option(help="What colours a point; of viewers: their favourite topic.")] = By.TOPIC,
    model: Model = "",
    seed: Annotated[int, typer.Option(min=0, help="Of t-SNE.")] = 0,
    json: JsonFlag = False,
) -> None:
    """Map a model's videos, or the viewers that it learned from, by t-SNE: neighbours are alike to the model."""
    _check(file)
    with _modelled(model) as found:
        from interest import projection
        from monitoring.pictures.embedding import UNKNOWN, embedding_map
        from rapt import pictures

        dataset, bundle = found.dataset(), found.bundle
        topic = pictures.topics(found, dataset)
        if of is Of.VIDEOS:
            table = bundle.catalogue()
            ids, embeddings = table.video_ids, table.content.reshape(len(table.content), -1)
            known, at, kinds = dataset.videos, dataset.targets.video, topic
        else:
            viewers = bundle.viewers()
            ids, embeddings = viewers.user_ids, viewers.taste
            known, at, kinds = dataset.users, dataset.targets.viewer, pictures.favourites(dataset, topic)
    place = {name: number for number, name in enumerate(known)}
    rows = [place.get(one, len(known)) for one in ids]
    points = projection.fit(embeddings, seed=seed).points
    title = f"{len(ids):,} {of} of model {bundle.digest[:12]}, by {by}"
    if by is By.TOPIC:
        named = [*kinds, UNKNOWN]
        meaning = "topic" if of is Of.VIDEOS else "favourite topic"
        embedding_map(file, title, points, kinds=[named[row] for row in rows], meaning=meaning)
    else:
        share = pictures.engagement(dataset, at, len(known) + 1)[rows]
        embedding_map(file, title, points, share=share, meaning="impressions that engaged")
    _did(file, json=json, model=bundle.digest, points=len(ids))


@group.command()
def layers(
    file: File,
    video: Video,
    model: Model = "",
    window: Annotated[int, typer.Option(min=0, help="Which of the video's windows, from 0.")] = 0,
    most: Annotated[int, typer.Option(min=1, max=60, help="Layers that are shown, evenly from first to last.")] = 12,
    json: JsonFlag = False,
) -> None:
    """Draw what each layer of a model's video encoder makes of a video."""
    _check(file)
    with _modelled(model) as found, found.frames(video) as frames:
        from monitoring.pictures.layers import layer_maps
        from rapt import pictures

        if window >= len(frames):
            raise InvalidOption(f"--window {window} is not there: {video!r} has {len(frames)}, counted from 0")
        made = pictures.layers(found, frames, most)
        digest = found.bundle.digest
    layer_maps(file, f"{video} in model {digest[:12]}", frames, made, window)
    _did(file, json=json, model=digest, layers={name: list(maps.shape) for name, maps in made.items()})


@group.command()
def gradcam(
    file: File,
    user: Annotated[str, typer.Option(help="The viewer; one that the log does not know is a new viewer.")],
    video: Video,
    model: Model = "",
    position: Annotated[int, typer.Option(min=1, help="Position in the feed, from 1.")] = 1,
    live: Annotated[bool, typer.Option("--live", help="Ask the endpoint of `rapt up`.")] = False,
    endpoint: Annotated[str, typer.Option(help="Ask this endpoint.")] = "",
    json: JsonFlag = False,
) -> None:
    """Draw where in the frames a model sees what speaks for a viewer's interest.

    Without --live or --endpoint a model of the store is asked here, with what its log knows of the viewer, and all
    frames are shown; an endpoint knows the stream, and shows the hottest frame of each window.
    """
    _check(file)
    if (live or endpoint) and model:
        raise InvalidOption(f"--model {model!r} goes without --live and --endpoint: an endpoint has its own model")
    if live or endpoint:
        from rapt import pictures, settings
        from rapt.client import Client

        with Client(endpoint or settings.load().endpoint, timeout_s=EXPLAIN_S) as client:
            answer = client.explain(user, [video], position=position, pictures=True)
        digest, windows = answer.model_digest, pictures.explained_heat(answer.videos[0])
    else:
        with _modelled(model) as found, found.frames(video) as frames:
            from rapt import pictures

            digest, windows = found.bundle.digest, pictures.heat(found, frames, user, video, position)
    from monitoring.pictures.heat import heat_maps

    heat_maps(file, f"what speaks for {video} in its frames, to viewer {user}\nmodel {digest[:12]}", windows)
    _did(file, json=json, model=digest, frames=[[one.frame for one in window] for window in windows])


@group.command()
def calibration(
    file: File,
    on: Annotated[
        On, typer.Option(help="What its viewers did since it serves, or the test part of the log it learned from.")
    ] = On.OBSERVATIONS,
    model: Model = "",
    json: JsonFlag = False,
) -> None:
    """Draw how often viewers engaged beside how often a model said that they would."""
    _check(file)
    with _modelled(model) as found:
        from msgspec import to_builtins

        from monitoring.pictures.calibration import calibration_curve
        from rapt import pictures

        digest = found.bundle.digest
        made = (pictures.observed_calibration if on is On.OBSERVATIONS else pictures.tested_calibration)(found)
    what = "observed impressions" if on is On.OBSERVATIONS else "impressions of the test part"
    calibration_curve(file, f"calibration of model {digest[:12]}\n{len(made.chance):,} {what}", made.curve, made.chance)
    _did(file, json=json, model=digest, bins=to_builtins(made.curve))


@group.command()
def experiment(
    file: File,
    name: Annotated[str, typer.Argument(help="An experiment that runs or has ended.")],
    json: JsonFlag = False,
) -> None:
    """Draw an experiment's lift with its interval over time, its arms' viewers, and what was decided when."""
    _check(file)
    with _store() as (store, _):
        from monitoring.experiments.course import course

        found = course(store, name)
    from msgspec import to_builtins

    from monitoring.pictures.experiment import experiment_curve

    experiment_curve(file, f"experiment {name}: {found.phase}", found.moments, found.margin, found.decisions)
    _did(file, json=json, experiment=name, phase=str(found.phase), moments=to_builtins(found.moments),
         decisions=to_builtins(found.decisions))  # fmt: skip


def _check(file: Path) -> None:
    """Refuse a wrong ending before anything is read or computed."""
    from monitoring.pictures.canvas import checked

    checked(file)


@contextmanager
def _store() -> "Iterator[tuple[ObjectStore, Path]]":
    """The object store, which runs inside, and the folder for what is fetched from it."""
    from rapt import settings, stack
    from wire.objects import ObjectStore

    chosen = settings.load()
    with stack.ensure_up(chosen):
        yield ObjectStore.from_env(), chosen.home / "cache"


@contextmanager
def _modelled(model: str) -> "Iterator[Modelled]":
    """A published model."""
    with _store() as (store, cache):
        from rapt.pictures import Modelled

        yield Modelled.load(store, cache, model)


def _did(file: Path, *, json: bool, **told: object) -> None:
    if json:
        print_json({"picture": file, **told})
    else:
        print(file)

"""`rapt models`, `rapt predict`, `rapt explain`: the published models and what they say."""

from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import to_builtins

from rapt.errors import InvalidOption
from rapt.output import JsonFlag, note, print_json, print_table, size

if TYPE_CHECKING:
    from inference.transformer.messages import Explained
    from rapt.predictions import Answer
    from wire.models import Published

PANEL = "Models"
EXPLAIN_S = 30.0
"""Seconds that an explanation may take: its pictures are decoded anew."""

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def models(json: JsonFlag = False) -> None:
    """List the published models, the newest first, with their figures on the test part of their logs."""
    from rapt import settings, stack
    from wire.models import list_models
    from wire.objects import ObjectStore

    with stack.ensure_up(settings.load()):
        found = list_models(ObjectStore.from_env())
    if json:
        print_json({"models": found})
        return
    if not found:
        note("no model is published yet; make one with: rapt pipeline run training")
        return
    head = ("MODEL", "PUBLISHED (UTC)", "SHARE OF BEST AUC", "AUC", "NE", "ECE", "SIZE")
    print_table(head, [_row(model) for model in found])


@app.command(rich_help_panel=PANEL)
def decay(json: JsonFlag = False) -> None:
    """Tell whether the serving model keeps its promises, from what viewers did, and whether a retraining is due."""
    from rapt import settings, stack
    from rapt.retraining import Watcher, policy_of
    from wire.objects import ObjectStore

    chosen = settings.load()
    with stack.ensure_up(chosen):
        watcher = Watcher(chosen, ObjectStore.from_env(), policy_of(chosen))
        due = watcher.look()
    facts, policy = watcher.told.facts, watcher.policy
    if json:
        print_json({"model": watcher.told.model, "retrain": due.now, "why": due.why, "facts": to_builtins(facts)})
        return
    if facts is not None and facts.decay.bias and facts.decay.excess:
        found = facts.decay
        kinds = (
            ("engagement, less what was predicted", facts.decay.bias, policy.bias_margin),
            ("log loss, less what was promised", facts.decay.excess, policy.loss_margin),
        )
        rows = [
            (name, f"{one.value:+.1%}", f"{one.lower:+.1%} to {one.upper:+.1%}", f"{margin:.0%}")
            for name, one, margin in kinds
        ]
        print_table((f"OF MODEL {watcher.told.model[:12]}", "IS", "AT ANY LOOK WITHIN", "MARGIN"), rows)
        entropy = figure(found.ne, ".3f")
        note(f"{found.impressions} impressions of {found.viewers} viewers, normalised entropy {entropy}")
    note(f"retrain: {'yes' if due.now else 'no'}; {due.why}")


@app.command(rich_help_panel=PANEL)
def predict(
    user: Annotated[str, typer.Option(help="The viewer; one that the log does not know is a new viewer.")],
    videos: Annotated[str, typer.Option(help="Video ids, with commas between them.")],
    model: Annotated[str, typer.Option(help="First digits of a model's digest.", show_default="latest")] = "",
    position: Annotated[int, typer.Option(min=1, help="Position in the feed, from 1.")] = 1,
    now: Annotated[
        str,
        typer.Option(
            help="The moment: ISO 8601 (UTC unless stated) or milliseconds since 1970.",
            show_default="just after the viewer's last event",
        ),
    ] = "",
    live: Annotated[
        bool, typer.Option("--live", help="Ask the endpoint of `rapt up`, which knows the stream.")
    ] = False,
    endpoint: Annotated[str, typer.Option(help="Ask this endpoint.")] = "",
    json: JsonFlag = False,
) -> None:
    """Predict how likely a viewer engages with videos.

    Without --live or --endpoint a model of the store answers here, from the log that it learned from, and tells what
    each part of the prediction adds.
    """
    wanted = _ids(videos)
    now_ms = _moment(now) if now else None
    from rapt import settings

    options = settings.load()
    if live or endpoint:
        if model:
            raise InvalidOption(f"--model {model!r} goes without --live and --endpoint: an endpoint has its own model")
        _ask(endpoint or options.endpoint, user, wanted, position=position, now_ms=now_ms, json=json)
        return
    from rapt import stack
    from rapt.predictions import Predictor
    from wire.objects import ObjectStore

    with stack.ensure_up(options):
        predictor = Predictor.load(ObjectStore.from_env(), options.home / "cache", model)
    answer = predictor.predict(user, wanted, position=position, now_ms=now_ms)
    if json:
        print_json(answer)
    else:
        print_answer(answer)


@app.command(rich_help_panel=PANEL)
def explain(
    user: Annotated[str, typer.Option(help="The viewer.")],
    videos: Annotated[str, typer.Option(help="Video ids, with commas between them; at most 20.")],
    endpoint: Annotated[str, typer.Option(help="Where to ask.", show_default="the one of `rapt up`")] = "",
    position: Annotated[int, typer.Option(min=1, help="Position in the feed, from 1.")] = 1,
    pictures: Annotated[str, typer.Option(help="Folder for frames, plain and under their heat, as PNG.")] = "",
    json: JsonFlag = False,
) -> None:
    """Take predictions of the endpoint apart: the logit's terms, past events, and where in the frames."""
    wanted = _ids(videos)
    from inference.client import Client
    from rapt import settings

    with Client(endpoint or settings.load().endpoint, timeout_s=EXPLAIN_S) as client:
        made = client.explain(user, wanted, position=position, pictures=bool(pictures))
    files = _write_pictures(Path(pictures), made) if pictures else []
    if json:
        print_json({"explained": to_builtins(made), "pictures": files})
    else:
        print_explained(made, files)


def _ask(endpoint: str, user: str, videos: list[str], *, position: int, now_ms: int | None, json: bool) -> None:
    from inference.client import Client

    with Client(endpoint) as client:
        made = client.predict(user, videos, position=position, now_ms=now_ms)
    if json:
        print_json(to_builtins(made))
        return
    ranked = sorted(made.videos, key=lambda one: -one.probability)
    print_table(("VIDEO", "PROBABILITY"), [(one.video_id, f"{one.probability:.1%}") for one in ranked])
    if made.unknown_videos:
        note(f"not in the model's catalogue, predicted without content: {', '.join(made.unknown_videos)}")
    note(
        f"viewer {user}, {made.events} earlier events, state {made.state_age_ms} ms old, at {_clock(made.now_ms)}, "
        f"position {position}, arm {made.arm}, model {made.model_digest[:12]}"
    )


def print_explained(made: "Explained", files: "list[Path]") -> None:
    """The terms of each video's logit, and the past events that weighed most."""
    terms = list(made.videos[0].terms)
    print_table(
        ("VIDEO", "PROBABILITY", *(term.upper() for term in terms)),
        [
            (one.video_id, f"{one.probability:.1%}", *(f"{one.terms[term]:+.2f}" for term in terms))
            for one in made.videos
        ],
    )
    for one in made.videos:
        if one.past:
            heaviest = ", ".join(
                f"{event.video_id or 'a video'} ({event.kind}) {event.weight:.0%}" for event in one.past[:5]
            )
            note(f"{one.video_id}: past events that weighed most: {heaviest}; none of them {one.start_weight:.0%}")
        if one.pictures_missing:
            note(f"{one.video_id}: no pictures: {one.pictures_missing}")
    for path in files:
        note(str(path))
    note(f"viewer {made.user_id}, state {made.state_age_ms} ms old, model {made.model_digest[:12]}")


def _write_pictures(folder: Path, made: "Explained") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, video in enumerate(made.videos, start=1):
        for picture in video.pictures:
            for name, data in (("frame", picture.plain), ("heat", picture.heat)):
                # By number: an id may hold anything, a path too.
                path = folder / f"{number}-window{picture.window}-{name}.png"
                path.write_bytes(b64decode(data))
                files.append(path)
    return files


def _ids(videos: str) -> list[str]:
    wanted = [video.strip() for video in videos.split(",") if video.strip()]
    if not wanted:
        raise InvalidOption(f"--videos {videos!r} names no video; give ids with commas between them")
    return wanted


def print_answer(answer: "Answer") -> None:
    """A table of the videos, the likeliest first; terms are parts of the logit."""
    for text in answer.notes:
        note(text)
    ranked = sorted(answer.videos, key=lambda one: -one.probability)
    terms = list(ranked[0].contributions)
    print_table(
        ("VIDEO", "PROBABILITY", *(term.upper() for term in terms)),
        [
            (one.video_id, f"{one.probability:.1%}", *(f"{one.contributions[term]:+.2f}" for term in terms))
            for one in ranked
        ],
    )
    note(
        f"viewer {answer.user}, {answer.events} earlier events, at {_clock(answer.now_ms)}, position "
        f"{answer.position}, model {answer.model[:12]}"
    )


def _row(model: "Published") -> tuple[str, ...]:
    figures = model.metrics
    return (
        model.digest[:12],
        _clock(model.published_at_ms),
        figure(figures.get("share_auc"), ".1%"),
        *(figure(figures.get(name), ".4f") for name in ("auc", "ne", "ece")),
        size(model.size_bytes),
    )


def figure(value: Any, form: str) -> str:
    """A figure of a report, a number or one with its interval, in the format `form`; `-` when absent."""
    if isinstance(value, dict):
        return f"{value['value']:{form}}"
    return "-" if value is None else f"{value:{form}}"


def _clock(ms: int) -> str:
    try:
        return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError):
        return f"{ms} ms"


def _moment(text: str) -> int:
    try:
        if text.lstrip("-").isdecimal():
            return int(text)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidOption(
            f"--now {text!r} is neither ISO 8601 nor milliseconds since 1970; write 2026-07-13T09:00"
        ) from None
    return int(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() * 1000)

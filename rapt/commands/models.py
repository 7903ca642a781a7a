"""`rapt models`, `rapt predict`: the published models and what one of them says."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rapt.errors import InvalidOption
from rapt.output import JsonFlag, note, print_json, print_table, size

if TYPE_CHECKING:
    from rapt.predictions import Answer
    from wire.models import Published

PANEL = "Models"

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
    json: JsonFlag = False,
) -> None:
    """Predict how likely a viewer engages with videos, and what each part of it adds."""
    wanted = [video.strip() for video in videos.split(",") if video.strip()]
    if not wanted:
        raise InvalidOption(f"--videos {videos!r} names no video; give ids with commas between them")
    now_ms = _moment(now) if now else None
    from rapt import settings, stack
    from rapt.predictions import Predictor
    from wire.objects import ObjectStore

    options = settings.load()
    with stack.ensure_up(options):
        predictor = Predictor.load(ObjectStore.from_env(), options.home / "cache", model)
    answer = predictor.predict(user, wanted, position=position, now_ms=now_ms)
    if json:
        print_json(answer)
    else:
        print_answer(answer)


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

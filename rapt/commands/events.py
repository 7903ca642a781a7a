"""`rapt events send`: what viewers did, into the stream that serving follows."""

import sys
import time
from pathlib import Path
from typing import Annotated
from uuid import uuid4

import typer

from interest.records import Event, Kind
from rapt.errors import InvalidOption
from rapt.output import JsonFlag, print_json

app = typer.Typer()
group = typer.Typer(help="Tell what viewers did.", no_args_is_help=True)
app.add_typer(group, name="events", rich_help_panel="Serving")


@group.command()
def send(
    user: Annotated[str, typer.Option(help="The viewer.")] = "",
    video: Annotated[str, typer.Option(help="The video.")] = "",
    kind: Annotated[Kind, typer.Option(help="What the viewer did.")] = Kind.WATCH,
    watch_ms: Annotated[int, typer.Option(min=0, help="How long it was watched.")] = 0,
    position: Annotated[int, typer.Option(min=1, help="Where in the feed it stood, from 1.")] = 1,
    request_id: Annotated[str, typer.Option(help="The prediction that put it there.")] = "",
    file: Annotated[str, typer.Option(help="Events as JSON lines instead; - reads standard input.")] = "",
    json: JsonFlag = False,
) -> None:
    """Send one event, or those of a file; bad lines are named and nothing of the file is sent then."""
    if bool(file) == bool(user or video):
        raise InvalidOption("give --user and --video for one event, or --file for many")
    if not file and not (user and video):
        raise InvalidOption(f"--user {user!r} --video {video!r}: both are needed for an event")
    from rapt import events, settings
    from wire.kafka import KafkaSettings, producer

    chosen = settings.load()
    if file:
        wanted = events.read_events(_lines(file))
    else:
        wanted = [events.checked(_event(user, video, kind, watch_ms, position, request_id))]
    sending = producer(KafkaSettings.from_env(chosen.stream_environment()))
    try:
        acknowledged = events.send(sending, wanted)
    finally:
        sending.close()
    if json:
        print_json({"acknowledged": acknowledged, "event_ids": [event.event_id for event in wanted]})
    else:
        print(f"{acknowledged} acknowledged", flush=True)


def _lines(file: str) -> list[bytes]:
    if file == "-":
        return sys.stdin.buffer.readlines()
    try:
        with Path(file).open("rb") as opened:
            return opened.readlines()
    except OSError as error:
        raise InvalidOption(f"--file {file!r}: {error.strerror}") from error


def _event(user: str, video: str, kind: Kind, watch_ms: int, position: int, request_id: str) -> Event:
    return Event(
        event_id=uuid4().hex,
        user_id=user,
        video_id=video,
        request_id=request_id or uuid4().hex,
        ts_ms=time.time_ns() // 1_000_000,
        kind=kind,
        watch_ms=watch_ms,
        position=position,
    )

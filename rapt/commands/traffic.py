"""`rapt traffic`: simulated viewers in front of the endpoint, who react to what it ranks first."""

import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from rapt.output import JsonFlag, note, print_json, print_table

if TYPE_CHECKING:
    from rapt.traffic import Traffic

PANEL = "Serving"
LINE_EVERY_S = 10.0
"""Between two lines of progress where there is no terminal to write over."""

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def traffic(
    users: Annotated[int, typer.Option(min=1, max=1_000_000, help="Viewers.")] = 200,
    rate: Annotated[float, typer.Option(min=0.01, max=100_000, help="Requests a second.")] = 20.0,
    seconds: Annotated[float, typer.Option(min=0, help="How long; 0: until Ctrl-C.")] = 30.0,
    candidates: Annotated[int, typer.Option(min=1, max=500, help="Videos of a request.")] = 50,
    page: Annotated[int, typer.Option(min=1, max=100, help="Of these the best are shown, so many.")] = 5,
    randomised: Annotated[float, typer.Option(min=0, max=1, help="Share of pages drawn at random.")] = 0.1,
    seed: Annotated[int, typer.Option(min=0, help="Another seed: other viewers.")] = 0,
    model: Annotated[
        str, typer.Option(help="First digits of the model whose world it is.", show_default="latest")
    ] = "",
    endpoint: Annotated[str, typer.Option(help="Where to ask.", show_default="the one of `rapt up`")] = "",
    json: JsonFlag = False,
) -> None:
    """Let simulated viewers ask the endpoint and react to what it ranks first; Ctrl-C ends it with the same summary.

    So does SIGTERM, after the requests under way.
    """
    import signal
    from threading import Event

    from inference.client import Client
    from inference.errors import EndpointUnavailable
    from interest.simulator.audience import Audience
    from rapt import settings, stack
    from rapt.traffic import Plan, run
    from rapt.worlds import world_of
    from wire.kafka import KafkaSettings, producer
    from wire.objects import ObjectStore

    chosen = settings.load()
    where = endpoint or chosen.endpoint
    with stack.ensure_up(chosen):
        catalog, latents = world_of(ObjectStore.from_env(), chosen.home / "cache", model)
    with Client(where) as client:
        if not client.ready():
            raise EndpointUnavailable(f"the endpoint at {where} is not ready; see: rapt status")
    sending = producer(KafkaSettings.from_env(chosen.stream_environment()))
    progress, ended = Progress(), Event()
    before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
    try:
        plan = Plan(where, rate, seconds, candidates, page, randomised, seed)
        came = run(Audience(catalog, latents, users, seed), sending, plan, progress.tell, ended)
    finally:
        sending.close()
        signal.signal(signal.SIGTERM, before)
    progress.end()
    if json:
        print_json(came.document())
    else:
        print_summary(came)
    if came.undelivered:
        note(f"error: {came.undelivered}")
    if came.undelivered or not came.requests:
        raise typer.Exit(1)


class Progress:
    """One line that is written over on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._told = time.monotonic()

    def tell(self, traffic: "Traffic") -> None:
        """Show how it goes."""
        from rapt.traffic import line

        if self._live:
            print(f"\r\x1b[K{line(traffic)}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - self._told >= LINE_EVERY_S:
            self._told = time.monotonic()
            note(line(traffic))

    def end(self) -> None:
        """Leave the last line standing."""
        if self._live:
            print(file=sys.stderr)


def print_summary(came: "Traffic") -> None:
    """What came of it, as a table."""
    from rapt.traffic import quantiles

    def spread(values: list[float]) -> str:
        return ", ".join(f"{name} {value:g}" for name, value in quantiles(values).items()) or "-"

    def share(value: float | None) -> str:
        return "-" if value is None else f"{value:.1%}"

    rows: list[tuple[str, object]] = [
        ("requests", f"{came.requests} in {came.seconds:.1f} s, {came.rate:g} a second"),
        ("latency (ms)", spread(came.latency_ms)),
        ("state age (ms)", spread(came.state_age_ms)),
        ("events", came.events),
        ("engaged, ranked pages", f"{share(came.ranked.share)} of {came.ranked.shown}"),
        ("engaged, random pages", f"{share(came.randomised.share)} of {came.randomised.shown}"),
        ("models", ", ".join(f"{digest} {count}" for digest, count in came.models.items()) or "-"),
    ]
    rows += [(f"failed: {kind}", count) for kind, count in came.failures.items()]
    print_table(("TRAFFIC", ""), rows)
    if came.last_failure:
        note(f"last failure: {came.last_failure}")

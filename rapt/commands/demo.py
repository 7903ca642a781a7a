"""`rapt demo`: the main job on this machine, from clips to predictions."""

from typing import Annotated

import typer

from rapt.output import JsonFlag, print_json

app = typer.Typer()


@app.command(rich_help_panel="Training")
def demo(
    world_videos: Annotated[int | None, typer.Option(min=1, help="Videos to render.")] = None,
    viewers: Annotated[int | None, typer.Option(min=1, help="Viewers to simulate.")] = None,
    events_per_viewer: Annotated[int | None, typer.Option(min=1, help="Impressions of each viewer.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the viewers.")] = None,
    content_epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the videos.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of world and training.")] = None,
    loop: Annotated[
        bool, typer.Option(help="Let tastes turn at the end: drift, retraining, canary, promotion.")
    ] = True,
    json: JsonFlag = False,
) -> None:
    """Train on real clips and a rendered world, serve it, let tastes turn, and show what came of it.

    About 6 minutes on 2 cores. Exit code 1 when the loop did not close.
    """
    from rich.console import Console

    from rapt import demo as job
    from rapt import settings
    from rapt.demo_tables import show

    chosen = {
        "world_videos": world_videos, "viewers": viewers, "events_per_viewer": events_per_viewer,
        "epochs": epochs, "content_epochs": content_epochs, "seed": seed,
    }  # fmt: skip
    arguments = {name: value for name, value in chosen.items() if value is not None}
    console = Console(stderr=json)
    done = job.run(settings.load(), arguments, console, loop=loop)
    if json:
        print_json(done.document())
    else:
        show(done, console)
    if done.loop and done.loop.incomplete:
        raise typer.Exit(1)

"""`rapt pipeline run|runs|list|compile|submit`: the training pipelines, here and on a cluster."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from rapt.errors import InvalidOption
from rapt.output import JsonFlag, duration, note, print_json, print_table

app = typer.Typer()
group = typer.Typer(help="Train: run a pipeline here, compile it, submit it to a cluster.", no_args_is_help=True)
app.add_typer(group, name="pipeline", rich_help_panel="Training")

Name = Annotated[str, typer.Argument(help="One of `rapt pipeline list`.")]
Param = Annotated[list[str], typer.Option("--param", metavar="NAME=VALUE", help="Any other parameter; repeatable.")]
Videos = Annotated[str, typer.Option(help="Your videos: CSV with url or path, and caption.")]
Events = Annotated[str, typer.Option(help="Your logs instead of simulated ones: a file or folder.")]
Layout = Annotated[str, typer.Option(help="Layout of --events: auto, events, or a public one.")]


@group.command()
def run(
    name: Name,
    videos: Videos = "",
    events: Events = "",
    layout: Layout = "auto",
    world_videos: Annotated[int | None, typer.Option(min=1, help="Videos to render.")] = None,
    viewers: Annotated[int | None, typer.Option(min=1, help="Viewers to simulate.")] = None,
    events_per_viewer: Annotated[int | None, typer.Option(min=1, help="Impressions of each viewer.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of world and training.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the viewers.")] = None,
    content_epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the videos.")] = None,
    backbone: Annotated[str | None, typer.Option(help="Video encoder: cnn3d or efficientnet.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of training.")] = None,
    param: Param = [],  # noqa: B006 - typer copies it
    cache: Annotated[bool, typer.Option(help="Take what was done before.")] = True,
    json: JsonFlag = False,
) -> None:
    """Run a pipeline on this machine with a live tree of its steps; what was done before is not done again."""
    chosen: dict[str, Any] = {
        "world_videos": world_videos, "viewers": viewers, "events_per_viewer": events_per_viewer, "seed": seed,
        "epochs": epochs, "content_epochs": content_epochs, "backbone": backbone, "threads": threads,
    }  # fmt: skip
    _check_backbone(backbone)
    from rich.console import Console

    from rapt import runs, settings

    arguments = {key: value for key, value in chosen.items() if value is not None}
    name, arguments = _given(name, arguments, videos, events, layout, param)
    outcome = runs.run(settings.load(), name, arguments, Console(stderr=json), use_cache=cache)
    if json:
        print_json(outcome.document())
        return
    artifacts = [(step.name, key, path) for step in outcome.steps for key, path in step.outputs.items()]
    print_table(("STEP", "ARTIFACT", "PATH"), artifacts)
    if outcome.published:
        note(f"published model {outcome.model[:12]}; see: rapt models")
    elif outcome.held_for:
        note(f"model {outcome.model[:12]} was not published: {outcome.held_for}")
    note(f"run {outcome.run_id}, {outcome.folder / runs.RECORD}")


@group.command(name="list")
def list_(json: JsonFlag = False) -> None:
    """List the pipelines and their parameters with defaults."""
    from pipelines.training import PIPELINES

    found = {name: inputs_of(pipeline) for name, pipeline in PIPELINES.items()}
    if json:
        print_json({"pipelines": [{"name": name, "parameters": known} for name, known in found.items()]})
        return
    rows = [
        (name if first else "", parameter, "needed" if default is None else repr(default))
        for name, known in found.items()
        for first, (parameter, default) in zip((True, *[False] * len(known)), known.items(), strict=False)
    ]
    print_table(("PIPELINE", "PARAMETER", "DEFAULT"), rows)


@group.command(name="runs")
def runs_(
    endpoint: Annotated[str, typer.Option(help="List those of this Kubeflow Pipelines API instead.")] = "",
    json: JsonFlag = False,
) -> None:
    """List the runs on this machine, or a cluster's, the newest first."""
    from rapt import runs, settings

    if endpoint:
        from pipelines.submit import Cluster

        found = [asdict(one) for one in Cluster(endpoint).runs()]
        columns = {"run_id": "RUN", "name": "NAME", "state": "STATE", "created_at": "CREATED"}
    else:
        found = [{**one, "took": duration(one["seconds"])} for one in runs.past(settings.load())]
        columns = {"run_id": "RUN", "pipeline": "PIPELINE", "status": "STATUS", "started_at": "STARTED", "took": "TOOK"}
    if json:
        print_json({"runs": found})
    elif found:
        print_table(tuple(columns.values()), [[one[key] for key in columns] for one in found])
    else:
        note("there is no run yet; start one with: rapt pipeline run training")


@group.command(name="compile")
def compile_(
    name: Name,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    image: Annotated[str, typer.Option(help="Image of the components, with registry and tag.")] = "",
    json: JsonFlag = False,
) -> None:
    """Write a pipeline as the YAML that Kubeflow Pipelines takes."""
    from components.image import IMAGE
    from pipelines.compile import compiled, find

    text = compiled(find(name), image or IMAGE)
    if not output.absolute().parent.is_dir():
        raise InvalidOption(f"-o {output}: there is no folder {output.absolute().parent}; make it first")
    output.write_text(text)
    if json:
        print_json({"pipeline": name, "file": output, "image": image or IMAGE})
    else:
        note(f"wrote {output}")


@group.command()
def submit(
    name: Name,
    endpoint: Annotated[
        str, typer.Option(help="Address of the Kubeflow Pipelines API.", show_default="RAPT_KFP_ENDPOINT")
    ] = "",
    videos: Videos = "",
    events: Events = "",
    layout: Layout = "auto",
    image: Annotated[str, typer.Option(help="Image of the components, with registry and tag.")] = "",
    param: Param = [],  # noqa: B006 - typer copies it
    json: JsonFlag = False,
) -> None:
    """Submit a pipeline to a cluster; files of yours go to the object store first."""
    from components.image import IMAGE
    from pipelines.compile import find
    from pipelines.sources import uploaded
    from pipelines.submit import Cluster
    from rapt import settings, stack
    from wire.objects import ObjectStore

    options = settings.load()
    name, arguments = _given(name, {}, videos, events, layout, param)
    local = [text for text in (videos, events) if text and not text.startswith("s3://")]
    if local and options.embedded:
        raise InvalidOption(
            f"{local[0]} is a file of this machine, and so is its object store, which a cluster does not reach; "
            "set RAPT_S3_ENDPOINT to the cluster's store"
        )
    cluster = Cluster(endpoint or options.kfp_endpoint)
    if local:
        with stack.ensure_up(options):
            arguments = uploaded(arguments, ObjectStore.from_env())
    run_id = cluster.submit(find(name), arguments, image=image or IMAGE)
    if json:
        print_json({"run_id": run_id, "pipeline": name, "endpoint": cluster.endpoint})
    else:
        note(f"submitted {name}: run {run_id} at {cluster.endpoint}")


def _given(
    name: str, arguments: dict[str, Any], videos: str, events: str, layout: str, param: list[str]
) -> tuple[str, dict[str, Any]]:
    """The pipeline that is meant and its arguments, the user's files looked at."""
    from rapt import inputs

    if events and name == "training":
        name = "training_from_logs"
    arguments = arguments | parameters(name, param)
    if events:
        inputs.check_events(events, layout)
        arguments |= {"source": events, "layout": layout}
    if videos:
        for fault in inputs.check_videos(videos):
            note(f"left out: {fault}")
        arguments["videos"] = videos
    return name, arguments


def parameters(name: str, given: list[str]) -> dict[str, Any]:
    """NAME=VALUE of the command line as values of the types that the pipeline's parameters have."""
    from pipelines.compile import find

    known = find(name).component_spec.inputs or {}
    values: dict[str, Any] = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise InvalidOption(f"--param {text}: write NAME=VALUE")
        kind = known[key].type if key in known else "String"
        values[key] = _typed(text, kind, value)
    return values


def _typed(text: str, kind: str, value: str) -> Any:
    try:
        if kind == "Boolean":
            return {"true": True, "false": False}[value.lower()]
        return {"Integer": int, "Float": float}.get(kind, str)(value)
    except (ValueError, KeyError):
        raise InvalidOption(f"--param {text}: {value!r} is no {kind.lower()}") from None


def inputs_of(pipeline: Any) -> dict[str, Any]:
    """Each parameter with its default; None for one that has to be given."""
    known = pipeline.component_spec.inputs or {}
    return {name: spec.default if spec.optional else None for name, spec in known.items()}


def _check_backbone(backbone: str | None) -> None:
    if backbone is None:
        return
    from interest.models.names import VideoBackbone

    known = [one.value for one in VideoBackbone]
    if backbone not in known:
        raise InvalidOption(f"--backbone {backbone} is unknown; choose {' or '.join(known)}")

"""`rapt pipeline`: the training pipelines run here; compiled, submitted, scheduled and followed on a cluster."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rapt.errors import InvalidOption
from rapt.output import JsonFlag, duration, note, print_json, print_table

if TYPE_CHECKING:
    from pipelines.submit import Cluster


app = typer.Typer()
group = typer.Typer(help="Train: run a pipeline here, compile it, submit it to a cluster.", no_args_is_help=True)
app.add_typer(group, name="pipeline", rich_help_panel="Training")

Name = Annotated[str, typer.Argument(help="One of `rapt pipeline list`.")]
Param = Annotated[list[str], typer.Option("--param", metavar="NAME=VALUE", help="Any other parameter; repeatable.")]
Videos = Annotated[str, typer.Option(help="Your videos: CSV with url or path, and caption.")]
Events = Annotated[str, typer.Option(help="Your logs instead of simulated ones: a file or folder.")]
Layout = Annotated[str, typer.Option(help="Layout of --events: auto, events, or a public one.")]
Image = Annotated[str, typer.Option(help="Image of the components, with registry and tag.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run: see `rapt pipeline runs --cluster`.")]
Endpoint = Annotated[str, typer.Option(help="Address of the Kubeflow Pipelines API.", show_default="RAPT_KFP_ENDPOINT")]
Namespace = Annotated[
    str, typer.Option(help="Namespace, where Kubeflow has several users.", show_default="RAPT_KFP_NAMESPACE")
]
Root = Annotated[
    str,
    typer.Option(help="Where artifacts go: s3://bucket/path.", show_default="RAPT_KFP_PIPELINE_ROOT, or the cluster's"),
]
Experiment = Annotated[str, typer.Option(help="Experiment of Kubeflow that it belongs to.")]


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
    from rapt.tree import State

    arguments = {key: value for key, value in chosen.items() if value is not None}
    name, arguments = _given(name, arguments, videos, events, layout, param)
    outcome = runs.run(settings.load(), name, arguments, Console(stderr=json), use_cache=cache)
    if json:
        print_json(outcome.document())
        return
    artifacts = [(step.name, key, path) for step in outcome.steps for key, path in step.outputs.items()]
    print_table(("STEP", "ARTIFACT", "PATH"), artifacts)
    if outcome.published and outcome.step("publish").state is State.CACHED:
        how = "rapt apply puts it on trial, --no-cache trains and publishes anew"
        note(f"model {outcome.model[:12]} was published by an earlier run, and what serves stays as it is; {how}")
    elif outcome.published:
        note(f"published model {outcome.model[:12]}; see: rapt models")
    elif outcome.held_for:
        note(f"model {outcome.model[:12]} was not published: {outcome.held_for}")
    note(f"run {outcome.run_id}, {outcome.folder / runs.RECORD}")


@group.command(name="list")
def list_(json: JsonFlag = False) -> None:
    """List the pipelines and their parameters with defaults."""
    from pipelines.known import PIPELINES

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
    cluster: Annotated[bool, typer.Option("--cluster", help="List those of the cluster instead.")] = False,
    endpoint: Endpoint = "",
    namespace: Namespace = "",
    json: JsonFlag = False,
) -> None:
    """List the runs on this machine, or a cluster's, the newest first."""
    from rapt import runs, settings

    if cluster or endpoint:
        found = [asdict(one) for one in _cluster(endpoint, namespace).runs()]
        columns = {"run_id": "RUN", "name": "NAME", "state": "STATE", "created_at": "CREATED"}
    else:
        found = [{**one, "took": duration(one["seconds"])} for one in runs.past(settings.load())]
        columns = {"run_id": "RUN", "pipeline": "PIPELINE", "status": "STATUS", "started_at": "STARTED", "took": "TOOK"}
    if json:
        print_json({"runs": found})
    elif found:
        print_table(tuple(columns.values()), [[one[key] for key in columns] for one in found])
    else:
        note(
            "there is no run yet; start one with: rapt pipeline "
            + ("submit" if cluster or endpoint else "run")
            + " training"
        )


@group.command(name="compile")
def compile_(
    name: Name,
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    image: Image = "",
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
    endpoint: Endpoint = "",
    namespace: Namespace = "",
    experiment: Experiment = "rapt",
    run_name: Annotated[str, typer.Option("--name", help="Name of the run.", show_default="the pipeline's")] = "",
    videos: Videos = "",
    events: Events = "",
    layout: Layout = "auto",
    image: Image = "",
    pipeline_root: Root = "",
    param: Param = [],  # noqa: B006 - typer copies it
    watch: Annotated[bool, typer.Option("--watch", help="Follow it to its end; exit code 1 when it fails.")] = False,
    json: JsonFlag = False,
) -> None:
    """Submit a pipeline to a cluster; files of yours go to the object store first."""
    from components.image import IMAGE
    from pipelines.compile import find

    name, arguments = _given(name, {}, videos, events, layout, param)
    cluster = _cluster(endpoint, namespace)
    run_id = cluster.submit(
        find(name), _reachable(arguments), name=run_name, experiment=experiment, image=image or IMAGE,
        pipeline_root=_root(pipeline_root),
    )  # fmt: skip
    if watch:
        note(f"submitted {name}: run {run_id} at {cluster.endpoint}")
        from rapt.remote import follow

        follow(cluster, run_id, json=json)
    elif json:
        print_json({"run_id": run_id, "pipeline": name, "endpoint": cluster.endpoint})
    else:
        note(f"submitted {name}: run {run_id} at {cluster.endpoint}; follow it: rapt pipeline watch {run_id}")


@group.command(name="watch")
def watch_(run_id: RunId, endpoint: Endpoint = "", namespace: Namespace = "", json: JsonFlag = False) -> None:
    """Follow a run on the cluster to its end; exit code 1 when it fails. Ctrl-C leaves it running."""
    from rapt.remote import follow

    follow(_cluster(endpoint, namespace), run_id, json=json)


@group.command()
def stop(run_id: RunId, endpoint: Endpoint = "", namespace: Namespace = "", json: JsonFlag = False) -> None:
    """Stop a run on the cluster: its pods are killed."""
    _cluster(endpoint, namespace).stop(run_id)
    if json:
        print_json({"run_id": run_id, "state": "CANCELING"})
    else:
        note(f"run {run_id} is being stopped")


@group.command()
def schedule(
    name: Name,
    cron: Annotated[str, typer.Option(help="When to run: cron of five fields, or six with seconds first.")] = "",
    every: Annotated[str, typer.Option(help="Time between runs instead: 30m, 24h, 7d.")] = "",
    catch_up: Annotated[bool, typer.Option(help="Make up for runs missed while the cluster was away.")] = True,
    endpoint: Endpoint = "",
    namespace: Namespace = "",
    experiment: Experiment = "rapt",
    run_name: Annotated[str, typer.Option("--name", help="Name of the schedule.", show_default="the pipeline's")] = "",
    videos: Videos = "",
    events: Events = "",
    layout: Layout = "auto",
    image: Image = "",
    pipeline_root: Root = "",
    param: Param = [],  # noqa: B006 - typer copies it
    json: JsonFlag = False,
) -> None:
    """Run a pipeline on a cluster again and again, one run at a time.

    For example every night at three, in the cluster's time zone (mostly UTC): --cron '0 3 * * *'
    """
    from components.image import IMAGE
    from pipelines.compile import find

    if bool(cron) == bool(every):
        raise InvalidOption("give either --cron, such as '0 3 * * *', or --every, such as 24h")
    name, arguments = _given(name, {}, videos, events, layout, param)
    cluster = _cluster(endpoint, namespace)
    schedule_id = cluster.schedule(
        find(name), _reachable(arguments), cron=cron, every=every, catch_up=catch_up, name=run_name,
        experiment=experiment, image=image or IMAGE, pipeline_root=_root(pipeline_root),
    )  # fmt: skip
    if json:
        print_json({"schedule_id": schedule_id, "pipeline": name, "endpoint": cluster.endpoint})
    else:
        note(f"scheduled {name}: {schedule_id} at {cluster.endpoint}; end it: rapt pipeline unschedule {schedule_id}")


@group.command()
def schedules(endpoint: Endpoint = "", namespace: Namespace = "", json: JsonFlag = False) -> None:
    """List what runs again and again on the cluster, the newest first."""
    found = [asdict(one) for one in _cluster(endpoint, namespace).schedules()]
    columns = {"schedule_id": "SCHEDULE", "name": "NAME", "when": "WHEN", "status": "STATUS", "created_at": "CREATED"}
    if json:
        print_json({"schedules": found})
    elif found:
        print_table(tuple(columns.values()), [[one[key] for key in columns] for one in found])
    else:
        note("nothing is scheduled; schedule with: rapt pipeline schedule training --every 24h")


@group.command()
def unschedule(
    schedule_id: Annotated[str, typer.Argument(metavar="SCHEDULE", help="Id: see `rapt pipeline schedules`.")],
    endpoint: Endpoint = "",
    namespace: Namespace = "",
    json: JsonFlag = False,
) -> None:
    """End a schedule on the cluster; runs that it started stay."""
    _cluster(endpoint, namespace).unschedule(schedule_id)
    if json:
        print_json({"schedule_id": schedule_id})
    else:
        note(f"ended schedule {schedule_id}")


def _cluster(endpoint: str, namespace: str) -> "Cluster":
    """The Kubeflow Pipelines that the options name, or else the settings."""
    from pipelines.submit import Cluster
    from rapt import settings

    own = settings.load()
    return Cluster(
        endpoint or own.kfp_endpoint,
        namespace=namespace or own.kfp_namespace,
        token_file=own.kfp_token_file,
        ca_file=own.kfp_ca_file,
    )


def _root(given: str) -> str:
    from rapt import settings

    return given or settings.load().kfp_pipeline_root


def _reachable(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments with files of this machine put where the cluster reaches them."""
    from pipelines.sources import NAMED, uploaded
    from rapt import settings, stack
    from wire.objects import ObjectStore

    options = settings.load()
    local = [value for name in NAMED if (value := arguments.get(name)) and not value.startswith("s3://")]
    if not local:
        return arguments
    if options.embedded:
        raise InvalidOption(
            f"{local[0]} is a file of this machine, and so is its object store, which a cluster does not reach; "
            "set RAPT_S3_ENDPOINT to the cluster's store"
        )
    with stack.ensure_up(options):
        return uploaded(arguments, ObjectStore.from_env())


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

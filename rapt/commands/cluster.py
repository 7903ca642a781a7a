"""`rapt cluster`: Rapt on Kubernetes."""

from pathlib import Path
from typing import Annotated

import typer

from rapt.output import JsonFlag, note, print_json

app = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="Rapt on Kubernetes: make it, publish to it, look at it, remove it.")
app.add_typer(group, name="cluster", rich_help_panel="Kubernetes")

Name = Annotated[str, typer.Option("--name", help="Name of the kind cluster.")]
Context = Annotated[str, typer.Option("--context", help="Use the cluster of this kubectl context; make none.")]


@group.command()
def create(
    name: Name = "rapt",
    context: Context = "",
    overlay: Annotated[str, typer.Option(help="Folder in manifests/overlays with what is needed underneath.")] = "kind",
    values: Annotated[list[Path] | None, typer.Option(help="Values files for the chart.", exists=True)] = None,
    json: JsonFlag = False,
) -> None:
    """Make the cluster, the images, what is needed underneath, and install the chart; what is there is kept."""
    from rapt.cluster.create import Plan
    from rapt.cluster.create import create as make

    plan = Plan(name, context, overlay, tuple(values or ()))
    make(plan, note)
    if json:
        print_json({"context": plan.cluster.context, "namespace": plan.cluster.namespace})
    else:
        print(f"installed on {plan.cluster.context}; next: rapt cluster publish, then rapt cluster wait")


@group.command()
def publish(
    digest: Annotated[str, typer.Argument(help="Digest of a model of this machine; empty: the newest.")] = "",
    name: Name = "rapt",
    context: Context = "",
    json: JsonFlag = False,
) -> None:
    """Copy a model from this machine's store to the cluster's, where it is served at once."""
    from rapt import settings, stack
    from rapt.cluster.create import Plan
    from rapt.cluster.models import publish as copy
    from wire.objects import ObjectStore

    with stack.ensure_up(settings.load()) as environment:
        published = copy(Plan(name, context).cluster, ObjectStore.from_env(environment), digest)
    if json:
        print_json({"digest": published})
    else:
        print(published)


@group.command()
def wait(name: Name = "rapt", context: Context = "", json: JsonFlag = False) -> None:
    """Wait until predictor, transformer and explainer are ready; tell why when they are not in 5 minutes."""
    from rapt.cluster.create import Plan, wait_ready

    wait_ready(Plan(name, context).cluster)
    if json:
        print_json({"ready": True})
    else:
        print("ready: kubectl -n rapt port-forward service/interest-transformer 8080:80")


@group.command()
def doctor(name: Name = "rapt", context: Context = "", json: JsonFlag = False) -> None:
    """Tell what is not ready on the cluster and why, from pods, events and logs; exit code 3 when something is."""
    from rapt.cluster.create import Plan
    from rapt.cluster.trouble import reasons

    found = reasons(Plan(name, context).cluster)
    if json:
        print_json({"reasons": found})
    else:
        print("\n".join(found) if found else "all pods are ready")
    if found:
        raise typer.Exit(3)


@group.command()
def delete(name: Name = "rapt", context: Context = "", json: JsonFlag = False) -> None:
    """Delete the kind cluster; with --context uninstall Rapt there, its data included."""
    from rapt.cluster.create import Plan
    from rapt.cluster.create import delete as remove

    plan = Plan(name, context)
    remove(plan)
    if json:
        print_json({"deleted": plan.cluster.context})

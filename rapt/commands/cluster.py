"""`rapt cluster`: Rapt on Kubernetes."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rapt.output import JsonFlag, duration, note, print_json, print_table, says, size

if TYPE_CHECKING:
    from rapt.cluster.status import Running

NOT_READY = 3

app = typer.Typer()
group = typer.Typer(no_args_is_help=True, help="Rapt on Kubernetes: make it, publish to it, look at it, remove it.")
app.add_typer(group, name="cluster", rich_help_panel="Kubernetes")

Name = Annotated[str, typer.Option("--name", help="Name of the kind or minikube cluster.")]
Context = Annotated[str, typer.Option("--context", help="Use the cluster of this kubectl context; make none.")]
Minikube = Annotated[bool, typer.Option("--minikube", help="A minikube cluster in the place of kind.")]


@group.command()
def create(
    name: Name = "rapt",
    context: Context = "",
    overlay: Annotated[str, typer.Option(help="Folder in manifests/overlays with what is needed underneath.")] = "kind",
    values: Annotated[list[Path] | None, typer.Option(help="Values files for the chart.", exists=True)] = None,
    minikube: Minikube = False,
    kubeflow: Annotated[bool, typer.Option("--kubeflow", help="With Kubeflow Pipelines, for training.")] = False,
    prometheus: Annotated[bool, typer.Option("--prometheus", help="With Prometheus and Grafana.")] = False,
    json: JsonFlag = False,
) -> None:
    """Make the cluster, the images, what is needed underneath, and install the chart; what is there is kept."""
    from rapt.cluster.create import Plan
    from rapt.cluster.create import create as make

    plan = Plan(name, context, overlay, tuple(values or ()), minikube, kubeflow, prometheus)
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
    minikube: Minikube = False,
    json: JsonFlag = False,
) -> None:
    """Copy a model from this machine's store to the cluster's, where it is served at once."""
    from rapt import settings, stack
    from rapt.cluster.create import Plan
    from rapt.cluster.models import publish as copy
    from wire.objects import ObjectStore

    with stack.ensure_up(settings.load()) as environment:
        published = copy(Plan(name, context, minikube=minikube).cluster, ObjectStore.from_env(environment), digest)
    if json:
        print_json({"digest": published})
    else:
        print(published)


@group.command()
def wait(name: Name = "rapt", context: Context = "", minikube: Minikube = False, json: JsonFlag = False) -> None:
    """Wait until all that serves is ready; tell why when it is not in 5 minutes."""
    from rapt.cluster.create import Plan, wait_ready

    wait_ready(Plan(name, context, minikube=minikube).cluster)
    if json:
        print_json({"ready": True})
    else:
        print("ready: kubectl -n rapt port-forward service/interest-transformer 8080:80")


@group.command()
def status(name: Name = "rapt", context: Context = "", minikube: Minikube = False, json: JsonFlag = False) -> None:
    """Show what runs on the cluster, what it takes and says; exit code 3 when something is not ready.

    CPU (cores) and memory: used, requested, allowed.
    """
    from rapt.cluster.create import Plan
    from rapt.cluster.status import status as look

    found = look(Plan(name, context, minikube=minikube).cluster)
    if json:
        print_json({"containers": found})
    elif found:
        head = ("COMPONENT", "CONTAINER", "READY", "RESTARTS", "UP", "CPU", "MEMORY", "NODE", "WHAT IT SAYS")
        print_table(head, [_row(one) for one in found])
    if not found:
        note("nothing of Rapt runs there; install it with: rapt cluster create")
    if not found or not all(one.ready for one in found):
        raise typer.Exit(NOT_READY)


def _row(one: "Running") -> tuple[object, ...]:
    cpu = "-" if one.cpu is None else f"{one.cpu:.2f}"
    memory = "-" if one.memory is None else size(int(one.memory))
    return (
        one.component,
        one.container,
        "yes" if one.ready else "no",
        one.restarts,
        duration(one.uptime_s),
        f"{cpu} / {one.cpu_requested:g} / {one.cpu_limit:g}",
        f"{memory} / {size(int(one.memory_requested))} / {size(int(one.memory_limit))}",
        one.node,
        says(one.details) or "-",
    )


@group.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def run(
    arguments: Annotated[list[str], typer.Argument(metavar="-- COMMAND ...", help="What follows `rapt`.")],
    name: Name = "rapt",
    context: Context = "",
    minikube: Minikube = False,
) -> None:
    """Run another rapt command inside the cluster, where endpoint, Kafka and object store are reached.

    For example: rapt cluster run -- traffic --users 50 --seconds 30
    """
    from rapt.cluster.create import Plan
    from rapt.cluster.inside import run_inside

    raise typer.Exit(run_inside(Plan(name, context, minikube=minikube).cluster, arguments))


@group.command()
def doctor(name: Name = "rapt", context: Context = "", minikube: Minikube = False, json: JsonFlag = False) -> None:
    """Tell what is not ready on the cluster and why, from pods, events and logs; exit code 3 when something is."""
    from rapt.cluster.create import Plan
    from rapt.cluster.trouble import reasons

    found = reasons(Plan(name, context, minikube=minikube).cluster)
    if json:
        print_json({"reasons": found})
    else:
        print("\n".join(found) if found else "all pods are ready")
    if found:
        raise typer.Exit(NOT_READY)


@group.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder for the files.")],
    name: Name = "rapt",
    context: Context = "",
    minikube: Minikube = False,
    json: JsonFlag = False,
) -> None:
    """Copy topics with their offsets, models and all else in the cluster's volumes; Kafka and store stop meanwhile."""
    from rapt.cluster.backup import backup as copy
    from rapt.cluster.create import Plan

    made = copy(Plan(name, context, minikube=minikube).cluster, folder)
    if json:
        print_json(made)
    else:
        note(f"wrote {folder}; back with: rapt cluster restore {folder}")


@group.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="A folder of `rapt cluster backup`.", exists=True)],
    name: Name = "rapt",
    context: Context = "",
    minikube: Minikube = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonFlag = False,
) -> None:
    """Put a backup in the place of what the cluster's volumes hold."""
    from rapt.cluster.backup import restore as bring
    from rapt.cluster.create import Plan

    plan = Plan(name, context, minikube=minikube)
    if not yes:
        typer.confirm(f"replace all topics, models and artifacts on {plan.cluster.context}?", abort=True, err=True)
    about = bring(plan.cluster, folder)
    if json:
        print_json(about)
    else:
        note(f"restored {folder}")


@group.command()
def delete(name: Name = "rapt", context: Context = "", minikube: Minikube = False, json: JsonFlag = False) -> None:
    """Delete the kind or minikube cluster; with --context uninstall Rapt there, its data included."""
    from rapt.cluster.create import Plan
    from rapt.cluster.create import delete as remove

    plan = Plan(name, context, minikube=minikube)
    remove(plan)
    if json:
        print_json({"deleted": plan.cluster.context})

"""`rapt up`, `down`, `status`, `doctor`: the processes of this machine and whether it is fit for them."""

from typing import Annotated

import typer

from rapt.output import JsonFlag, duration, note, print_json, print_table, says, size

PANEL = "This machine"
NOT_RUNNING = 3
OnCluster = Annotated[bool, typer.Option("--cluster", help="Of the cluster, as `rapt cluster` has it.")]

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def up(json: JsonFlag = False) -> None:
    """Start object store, broker and the serving processes, and wait until all answer; harmless when they run."""
    from rapt import settings, stack

    chosen = settings.load()
    started = stack.up(chosen)
    if json:
        print_json({"services": started})
        return
    for one in started:
        state = f"waits for {one.waits}" if one.waits else "started" if one.began else "already running"
        print(f"{one.name}  {one.address}  {state}", flush=True)
    if any(one.waits for one in started):
        note("predictions need a model: rapt demo, or rapt pipeline run training; what waits goes on by itself then")


@app.command(rich_help_panel=PANEL)
def down(json: JsonFlag = False) -> None:
    """End what `rapt up` started; the data stay."""
    from rapt import settings, stack

    ended = stack.down(settings.load())
    if json:
        print_json({"ended": ended})
        return
    for name in ended:
        print(f"{name}  ended", flush=True)
    if not ended:
        note("nothing was running")


@app.command(rich_help_panel=PANEL)
def status(cluster: OnCluster = False, json: JsonFlag = False) -> None:
    """Show what runs, where, and what it takes; exit code 3 when something does not run."""
    if cluster:
        from rapt.commands.cluster import status as on_cluster

        on_cluster(json=json)
        return
    from rapt import settings, stack

    found = stack.status(settings.load())
    if json:
        print_json({"services": found})
    else:
        print_table(
            ("SERVICE", "STATE", "PID", "ADDRESS", "MEMORY", "DATA", "UP", "RESTARTS", "WHAT IT SAYS"),
            [
                (
                    one.name,
                    "running" if one.running else "stopped",
                    one.pid or "-",
                    one.address,
                    size(one.memory_bytes) if one.running else "-",
                    size(one.data_bytes),
                    duration(one.uptime_s) if one.running else "-",
                    one.restarts,
                    says(one.details) if one.details or not one.running else "-",
                )
                for one in found
            ],
        )
        note(f"logs: {settings.load().run_folder}")
    if not all(one.running for one in found):
        raise typer.Exit(NOT_RUNNING)


@app.command(rich_help_panel=PANEL)
def doctor(cluster: OnCluster = False, json: JsonFlag = False) -> None:
    """Check Python, memory, disk, ports, codecs, weights and packages, each with its mend."""
    if cluster:
        from rapt.commands.cluster import doctor as of_cluster

        of_cluster(json=json)
        return
    from rapt import doctor, settings

    failed = False
    checks = []
    for check in doctor.examine(settings.load()):
        failed |= check.state is doctor.State.FAIL
        checks.append(check)
        if not json:
            mend = f": {check.mend}" if check.mend else ""
            print(f"{check.state.value:4}  {check.name:14}  {check.found}{mend}", flush=True)
    if json:
        print_json({"checks": checks})
    if failed:
        raise typer.Exit(1)

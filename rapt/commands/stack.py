"""`rapt up`, `down`, `status`, `doctor`: the processes of this machine and whether it is fit for them."""

import typer

from rapt.output import JsonFlag, duration, note, print_json, print_table, size

PANEL = "This machine"
NOT_RUNNING = 3

app = typer.Typer()


@app.command(rich_help_panel=PANEL)
def up(json: JsonFlag = False) -> None:
    """Start the object store and wait until it answers; harmless when it runs."""
    from rapt import settings, stack

    chosen = settings.load()
    started = stack.up(chosen)
    if json:
        print_json({"services": started})
        return
    for one in started:
        print(f"{one.name}  {one.address}  {'started' if one.began else 'already running'}", flush=True)
    if not started:
        note(f"nothing to start: objects are at {chosen.s3_endpoint}")


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
def status(json: JsonFlag = False) -> None:
    """Show what runs, where, and what it takes; exit code 3 when something does not run."""
    from rapt import settings, stack

    found = stack.status(settings.load())
    if json:
        print_json({"services": found})
    else:
        print_table(
            ("SERVICE", "STATE", "PID", "ADDRESS", "MEMORY", "DATA", "UP", "LOG"),
            [
                (
                    one.name,
                    "running" if one.running else "stopped",
                    one.pid or "-",
                    one.address,
                    size(one.memory_bytes) if one.running else "-",
                    size(one.data_bytes),
                    duration(one.uptime_s) if one.running else "-",
                    one.log,
                )
                for one in found
            ],
        )
    if not all(one.running for one in found):
        raise typer.Exit(NOT_RUNNING)


@app.command(rich_help_panel=PANEL)
def doctor(json: JsonFlag = False) -> None:
    """Check Python, memory, disk, ports, codecs, weights and packages, each with its mend."""
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

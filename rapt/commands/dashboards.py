"""`rapt dashboards`: Grafana's dashboards as files, or into a Grafana that is there; and what Prometheus is told."""

import json as encoding
from pathlib import Path
from typing import Annotated

import typer

from rapt.errors import InvalidOption
from rapt.output import JsonFlag, note, print_json

PANEL = "Serving"

app = typer.Typer()
group = typer.Typer(
    name="dashboards",
    help="Grafana's dashboards, and what Prometheus is told.",
    no_args_is_help=True,
)
app.add_typer(group, rich_help_panel=PANEL)

Runbook = Annotated[str, typer.Option(help="Address of docs/runbook.md where you keep it; panels lead there.")]


@group.command()
def write(
    folder: Annotated[Path, typer.Argument(help="Made when it is not there.")],
    runbook: Runbook = "docs/runbook.md",
    json: JsonFlag = False,
) -> None:
    """Write the dashboards as JSON, one file each, for Grafana's provisioning or its import."""
    from monitoring.dashboards.build import BOARDS, build

    files = {folder / f"{board.uid}.json": build(board, runbook) for board in BOARDS}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, document in files.items():
            path.write_text(encoding.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidOption(f"{str(folder)!r} cannot be written to: {error.strerror}") from error
    if json:
        print_json({"files": list(files)})
    else:
        print(*files, sep="\n")


@group.command()
def prometheus(json: JsonFlag = False) -> None:
    """Print the configuration of a Prometheus that reads the stack of `rapt up`, with its alerts."""
    import yaml

    from rapt import scrape, settings

    made = scrape.prometheus(settings.load())
    if json:
        print_json(made)
    else:
        print(yaml.safe_dump(made, sort_keys=False), end="")


@group.command()
def push(
    url: Annotated[str, typer.Option(help="Grafana's address.")],
    token_file: Annotated[Path, typer.Option(help="File with the token of a service account with the role Editor.")],
    folder: Annotated[str, typer.Option(help="Title of their folder, when it is made.")] = "Rapt",
    runbook: Runbook = "docs/runbook.md",
    json: JsonFlag = False,
) -> None:
    """Put the dashboards into a Grafana, in the place of those that were pushed before."""
    from monitoring.dashboards.build import BOARDS, build
    from monitoring.dashboards.grafana import Grafana

    grafana = Grafana(url, _token(token_file))
    uid = grafana.folder(folder)
    pushed = {board.uid: grafana.put(build(board, runbook), uid) for board in BOARDS}
    if json:
        print_json({"dashboards": pushed})
    else:
        print(*pushed.values(), sep="\n")
        note(f"{len(pushed)} dashboards are in Grafana at {url}")


def _token(file: Path) -> str:
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidOption(f"--token-file {str(file)!r} cannot be read: {error}") from error
    if len(token.split()) != 1:
        raise InvalidOption(f"--token-file {str(file)!r} holds no token: it must be one word")
    return token

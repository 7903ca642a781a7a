"""The process that runs a compiled pipeline under `kfp.local`, so that what kfp patches stays out of ours.

Started by `pipelines.local` as `python -m pipelines._child FOLDER`.
`pipeline.yaml` and `arguments.json` lie in the folder.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

from kfp import components, local


def main(folder: Path) -> None:
    """Run to the end, or leave with an exception when a step fails."""
    # A shell starts what runs in the background deaf to SIGINT, by which our parent ends us and the steps.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # kfp puts this name in the place of every "python3", in parameters and paths too: so nothing changes.
    sys.executable = "python3"
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder / "artifacts"),
        workspace_root=str(folder / "workspace"),
    )
    arguments = json.loads((folder / "arguments.json").read_text())
    components.load_component_from_text((folder / "pipeline.yaml").read_text())(**arguments)


def _end_with_parent() -> None:
    """Our standard input is the parent's: it never writes there, and it closes when the parent dies."""
    os.read(0, 1)
    os.killpg(0, signal.SIGTERM)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

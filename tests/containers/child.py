"""The process that runs a compiled pipeline in containers, since kfp.local patches what it runs in.

python -m tests.containers.child FOLDER, where `pipeline.yaml`, `arguments.json` and `container.json` lie.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from kfp import components, local


def main(folder: Path) -> None:
    """Run to the end, or leave with an exception when a step fails."""
    container = json.loads((folder / "container.json").read_text())
    local.init(runner=local.DockerRunner(**container), pipeline_root=str(folder / "artifacts"))
    arguments = json.loads((folder / "arguments.json").read_text())
    components.load_component_from_text((folder / "pipeline.yaml").read_text())(**arguments)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

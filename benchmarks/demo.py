"""The demo as a new user runs it: how long from nothing, how long again, how much memory, and whether its loop closed.

python -m benchmarks.demo
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.report import Row, record

LIMITS = {"demo_s": 360.0, "demo_cached_s": 15.0, "demo_peak_gb": 4.0}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"RAPT_HOME": str(Path(folder) / "home"), "RAPT_CACHE": str(Path(folder) / "cache")}
        try:
            first, first_s = _demo(environment)
            # What viewers do takes its time again; what was made before does not.
            _, again_s = _demo(environment, "--no-loop")
        finally:
            subprocess.run([sys.executable, "-m", "rapt", "down"], env=environment, check=True, stdout=sys.stderr)
    loop = first["loop"]
    print(json.dumps(loop, indent=1, ensure_ascii=False), file=sys.stderr)
    figures = {"demo_s": first_s, "demo_cached_s": again_s, "demo_peak_gb": first["peak_memory_bytes"] / 2**30}
    units = {"demo_s": "s", "demo_cached_s": "s", "demo_peak_gb": "GiB"}
    rows: list[Row] = [
        {
            "name": name,
            "value": value,
            "unit": units[name],
            "better": "lower",
            "peer": "the limit",
            "peer_value": LIMITS[name],
            "ratio": LIMITS[name] / value,
        }
        for name, value in figures.items()
    ]
    closed = float(bool(loop) and not loop["incomplete"] and not loop["failures"])
    rows.append(
        {
            "name": "demo_loop_closed", "value": closed, "unit": "", "better": "higher", "peer": "wanted",
            "peer_value": 1.0, "ratio": closed,
        }
    )  # fmt: skip
    record("main", rows)


def _demo(environment: dict[str, str], *options: str) -> tuple[dict[str, Any], float]:
    begun = time.monotonic()
    command = [sys.executable, "-m", "rapt", "demo", "--json", *options]
    made = subprocess.run(command, env=environment, check=False, stdout=subprocess.PIPE, text=True)
    if made.returncode not in (0, 1):  # 1: the loop did not close, which is told below
        made.check_returncode()
    return json.loads(made.stdout), time.monotonic() - begun


if __name__ == "__main__":
    main()

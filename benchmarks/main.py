"""All figures of the main job, each beside its alternative: build/bench/main.json and a table.

    python -m benchmarks.main [preprocess] [training] [demo] [world]

With names, only those; `world` is the longest (about ten minutes; what was rendered before is not rendered again).
"""

from __future__ import annotations

import subprocess
import sys

BENCHMARKS = ("preprocess", "training", "demo", "world")


def main() -> None:
    chosen = sys.argv[1:] or BENCHMARKS
    for unknown in set(chosen) - set(BENCHMARKS):
        sys.exit(f"no benchmark {unknown!r}; there are {', '.join(BENCHMARKS)}")
    for name in chosen:
        print(f"== {name}", flush=True)
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()

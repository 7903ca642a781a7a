"""KServe's SDK as a server needs it, without the client of the Kubernetes API that its package imports.

That client is 50 MB and a quarter of the time to start, and nothing that serves ever calls it.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec


def without_kubernetes() -> None:
    """Let `kserve.model` and the like be imported while the package's own `__init__` is left out.

    To be called before anything imports `kserve`; afterwards it does nothing.
    """
    spec = find_spec("kserve")
    if "kserve" not in sys.modules and spec is not None:
        # Not executed: what its submodules need is only where they lie.
        sys.modules["kserve"] = module_from_spec(spec)

"""Kubeflow pipelines: the same functions run locally, compile, and are submitted to a cluster."""

import os
import sys

if "kfp" not in sys.modules:
    # As in a task, kfp then leaves out its clients of clusters: two thirds of its import, and none is used here.
    before = os.environ.get("_KFP_RUNTIME", "false")
    os.environ["_KFP_RUNTIME"] = "true"
    import kfp  # noqa: F401

    os.environ["_KFP_RUNTIME"] = before

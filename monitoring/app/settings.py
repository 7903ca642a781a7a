"""Where the dashboard finds what it shows, from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Environment = tuple[tuple[str, str], ...]
"""Variables in order: what is cached is kept by them."""


@dataclass(frozen=True)
class Settings:
    """`endpoint`: address of the serving endpoint. `runs`: folder of a laptop's runs; `kfp_*`: Kubeflow Pipelines' API.
    `reports`: address under which a browser reaches the reports; empty: they are offered as downloads. Empty or None:
    there is none. `home`: below it models are kept on this machine.
    """

    endpoint: str = ""
    runs: Path | None = None
    kfp_endpoint: str = ""
    kfp_namespace: str = ""
    kfp_token: str = ""
    kfp_token_file: str = ""
    kfp_ca_file: str = ""
    reports: str = ""
    home: str = ""

    @staticmethod
    def from_env(env: Mapping[str, str] | None = None) -> Settings:
        """RAPT_ENDPOINT, RAPT_RUNS, RAPT_KFP_{ENDPOINT,NAMESPACE,TOKEN,TOKEN_FILE,CA_FILE}, RAPT_REPORTS, RAPT_HOME."""
        env = os.environ if env is None else env
        runs = env.get("RAPT_RUNS", "")
        return Settings(
            endpoint=env.get("RAPT_ENDPOINT", ""),
            runs=Path(runs) if runs else None,
            kfp_endpoint=env.get("RAPT_KFP_ENDPOINT", "").rstrip("/"),
            kfp_namespace=env.get("RAPT_KFP_NAMESPACE", ""),
            kfp_token=env.get("RAPT_KFP_TOKEN", ""),
            kfp_token_file=env.get("RAPT_KFP_TOKEN_FILE", ""),
            kfp_ca_file=env.get("RAPT_KFP_CA_FILE", ""),
            reports=env.get("RAPT_REPORTS", "").rstrip("/"),
            home=env.get("RAPT_HOME", ""),
        )


def environment() -> Environment:
    """All that a source may depend on, as it is now."""
    return tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith(("RAPT_", "AWS_"))))

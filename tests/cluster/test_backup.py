"""A cluster that loses everything is as it was, from a backup."""

from __future__ import annotations

from pathlib import Path

import pytest

from rapt.cluster import create
from rapt.cluster.backup import MANIFEST, backup, restore
from rapt.cluster.create import wait_ready
from rapt.errors import ClusterFailed
from tests.cluster.deployed import Deployed

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]
USERS = ["saved-0", "saved-1", "saved-2"]


def test_a_lost_cluster_comes_back_with_topics_offsets_states_and_models(served: Deployed, tmp_path: Path) -> None:
    cluster, folder = served.cluster, tmp_path / "backup"
    with served.beside("sends.py", "saved", "3", "7", "1"):
        pass
    served.until(lambda: served.events_of(*USERS) == [7, 7, 7], "the events count")
    asked = {"instances": [{"user_id": USERS[0], "video_ids": ["sim-00001"], "context": {"now_ms": 4102444800000}}]}
    (before,) = served.ask(asked)["predictions"]
    about = backup(cluster, folder)
    print({file.name: file.stat().st_size for file in folder.iterdir()})
    with served.beside("sends.py", "saved", "3", "2", "1"):  # after the backup: lost with the cluster
        pass

    create.delete(served.plan)
    create.create(served.plan, print)
    assert restore(cluster, folder) == about
    wait_ready(cluster)
    served.start_gateway()

    served.until(lambda: served.events_of(*USERS) == [7, 7, 7], "the states are those of the backup")
    (after,) = served.ask(asked)["predictions"]
    assert after["model_digest"] == before["model_digest"]
    assert after["videos"] == before["videos"]
    with served.beside("sends.py", "later", "3", "4", "1"):
        pass
    served.until(lambda: served.events_of("later-0", "later-1", "later-2") == [4, 4, 4], "the stream goes on")


def test_a_damaged_backup_is_refused_before_anything_is_touched(served: Deployed, tmp_path: Path) -> None:
    with pytest.raises(ClusterFailed, match="holds no whole backup"):
        restore(served.cluster, tmp_path)
    digest = "0" * 64
    (tmp_path / MANIFEST).write_text(
        f'{{"format": "rapt.backup/1", "files": {{"rapt-kafka": "{digest}", "object-store": "{digest}"}}}}'
    )
    for name in ("rapt-kafka", "object-store"):
        (tmp_path / f"{name}.tar.gz").write_bytes(b"nothing")
    with pytest.raises(ClusterFailed, match="changed since the backup was made"):
        restore(served.cluster, tmp_path)
    with pytest.raises(ClusterFailed, match="is not empty"):
        backup(served.cluster, tmp_path)
    assert served.events_of("anybody") is not None

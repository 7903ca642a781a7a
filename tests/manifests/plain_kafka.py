"""The overlay's Kafka without Strimzi, started on this machine with the very commands and files of its pod."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.kafka_broker import authority
from tests.ports import free_ports
from wire.kafka.settings import KafkaSettings, Security

DEADLINE_S = 90.0


@dataclass
class PlainKafka:
    """The pod's containers as processes that share `folder`; `objects` is the built overlay."""

    folder: Path
    libs: Path
    objects: list[dict[str, Any]]
    first_port: int = field(default_factory=free_ports)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def prepare(self, passwords: dict[str, str]) -> None:
        """Write what the pod has mounted."""
        for one in self.objects:
            if one["kind"] == "ConfigMap":
                name = "topics" if one["metadata"]["name"] == "kafka-topics" else "settings"
                self._place(name).mkdir(parents=True)
                for file, text in one["data"].items():
                    (self._place(name) / file).write_text(self._here(text), encoding="utf-8")
        for name in ("tls", "passwords", "data"):
            self._place(name).mkdir()
        authority(self.folder / "ca.crt", self._place("tls") / "broker.pem")
        for user, password in passwords.items():
            self.set_password(user, password)

    def set_password(self, user: str, password: str) -> None:
        """As the user's Secret does."""
        (self._place("passwords") / user).write_text(password, encoding="utf-8")

    def start(self) -> None:
        """Run the init container, then the others until the pod is ready."""
        (self.folder / "tmp" / "ready").unlink(missing_ok=True)
        subprocess.run(self._command("format"), check=True, capture_output=True, timeout=DEADLINE_S)
        for name in ("kafka", "setup"):
            with self.log(name).open("wb") as log:
                self.processes.append(subprocess.Popen(self._command(name), stdout=log, stderr=log))
        self.wait_for((self.folder / "tmp" / "ready").exists)

    def stop(self) -> None:
        """End it as the kubelet does."""
        for process in self.processes:
            process.terminate()
        codes = [process.wait(timeout=DEADLINE_S) for process in self.processes]
        self.processes.clear()
        assert codes == [143, 0], f"exit codes of kafka and setup: {codes}"

    def kill(self) -> None:
        """Leave nothing running, whatever happened."""
        for process in self.processes:
            process.kill()
            process.wait()

    def wait_for(self, condition: Any) -> None:
        """Wait until `condition()`; fails with the logs when a process ends or time is over."""
        give_up_at = time.monotonic() + DEADLINE_S
        while not condition():
            ended = [process.args for process in self.processes if process.poll() is not None]
            if ended or time.monotonic() > give_up_at:
                said = "\n".join(self.log(name).read_text(errors="replace")[-2000:] for name in ("kafka", "setup"))
                raise AssertionError(f"ended: {ended}\n{said}")
            time.sleep(0.05)

    def settings(self, user: str) -> KafkaSettings:
        """What the user's pod has in its environment."""
        password, ca = self._place("passwords") / user, self.folder / "ca.crt"
        bootstrap = f"127.0.0.1:{self.first_port + 2}"
        return KafkaSettings(bootstrap, Security.SASL_SSL, user, str(password), str(ca))

    def log(self, name: str) -> Path:
        """What a container says."""
        return self.folder / f"{name}.log"

    def _place(self, name: str) -> Path:
        return self.folder / name

    def _command(self, name: str) -> list[str]:
        (pod,) = (one["spec"]["template"]["spec"] for one in self.objects if one["metadata"]["name"] == "rapt-kafka")
        (found,) = (one for one in (*pod["initContainers"], *pod["containers"]) if one["name"] == name)
        program, *more = [self._here(word) for word in (*found["command"], *found["args"])]
        return [sys.executable if program == "python" else shutil.which(program) or program, *more]

    def _here(self, text: str) -> str:
        """Paths and ports of the pod as those of this machine."""
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
        for there, here in {
            "rapt-kafka-0.rapt-kafka-brokers.rapt.svc:9093": f"127.0.0.1:{self.first_port + 2}",
            "TLS://:9093": f"TLS://127.0.0.1:{self.first_port + 2}",
            "127.0.0.1:9092": f"127.0.0.1:{self.first_port + 1}",
            "127.0.0.1:9091": f"127.0.0.1:{self.first_port}",
            "/opt/kafka/libs": str(self.libs),
            "/etc/kafka": str(self.folder),
            "/data/kafka": str(self.folder / "data" / "kafka"),
            "/tmp/ready": str(self.folder / "tmp" / "ready"),  # noqa: S108 - the pod's
        }.items():
            text = text.replace(there, here)
        return text

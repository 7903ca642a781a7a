"""A real kube-apiserver on etcd, without kubelet and controllers, in a folder of its own.

The two programs are looked for in KUBEBUILDER_ASSETS, as controllers' tests do, and on PATH.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import urllib3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from monitoring.operator.api import JSON, Access, Api
from rapt.cluster.secrets import certificates
from tests.ports import free_ports

NAMESPACE, ACCOUNT = "rapt", "system:serviceaccount:rapt:rapt-experiments"
TOKENS = {"admin": ("admin", "system:masters"), "operator": (ACCOUNT, "system:serviceaccounts:rapt")}
DEADLINE_S = 60.0
SERVICES = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: inferenceservices.serving.kserve.io}
spec:
  group: serving.kserve.io
  scope: Namespaced
  names: {kind: InferenceService, listKind: InferenceServiceList, plural: inferenceservices, singular: inferenceservice}
  versions:
    - name: v1beta1
      served: true
      storage: true
      subresources: {status: {}}
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, x-kubernetes-preserve-unknown-fields: true}
            status: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
"""KServe's kind, as far as the API server needs it to keep one."""


def program(name: str) -> str | None:
    """Where `etcd` or `kube-apiserver` is."""
    places = (os.environ.get("KUBEBUILDER_ASSETS", ""), os.environ.get("PATH", ""))
    return shutil.which(name, path=os.pathsep.join(filter(None, places)))


@dataclass
class ApiServer:
    """Both processes; `admin` may do anything, `operator` what the chart gives its service account."""

    folder: Path
    port: int = field(default_factory=free_ports)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def prepare(self) -> None:
        """Write keys and tokens."""
        ca, server = certificates(["127.0.0.1"])
        (self.folder / "ca.crt").write_text(ca)
        (self.folder / "server.pem").write_text(server)
        lines = [f'{token},{user},{user},"{groups}"' for token, (user, groups) in TOKENS.items()]
        (self.folder / "tokens.csv").write_text("\n".join(lines))
        for token in TOKENS:
            (self.folder / token).write_text(token)
        key = rsa.generate_private_key(65537, 2048).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (self.folder / "accounts.pem").write_bytes(key)

    def start_etcd(self) -> None:
        """Begin to keep what the API server writes."""
        client, peer = (f"http://127.0.0.1:{self.port + offset}" for offset in (1, 2))
        command = ["etcd", f"--data-dir={self.folder / 'etcd'}", f"--listen-client-urls={client}",
                   f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}", "--unsafe-no-fsync",
                   f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}"]  # fmt: skip
        self._start(command)

    def start(self) -> None:
        """Serve, and wait until it is ready."""
        folder = self.folder
        command = [
            "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{self.port + 1}", f"--secure-port={self.port}",
            "--bind-address=127.0.0.1", f"--tls-cert-file={folder / 'server.pem'}",
            f"--tls-private-key-file={folder / 'server.pem'}", f"--token-auth-file={folder / 'tokens.csv'}",
            "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount",
            "--service-account-issuer=https://kubernetes.default.svc", "--endpoint-reconciler-type=none",
            f"--service-account-key-file={folder / 'accounts.pem'}",
            f"--service-account-signing-key-file={folder / 'accounts.pem'}", "--service-cluster-ip-range=10.0.0.0/24",
        ]  # fmt: skip
        self._start(command)
        give_up_at = time.monotonic() + DEADLINE_S
        while not self._ready():
            said = (folder / "kube-apiserver.log").read_text(errors="replace")[-2000:]
            assert self.processes[-1].poll() is None and time.monotonic() < give_up_at, said
            time.sleep(0.1)

    def kill(self) -> None:
        """End the API server as a power cut would; etcd stays."""
        process = self.processes.pop()
        process.kill()
        process.wait()

    def end(self) -> None:
        """Leave nothing running."""
        while self.processes:
            self.kill()

    def access(self, who: str) -> Access:
        """Where to ask, and as whom."""
        return Access(f"https://127.0.0.1:{self.port}", NAMESPACE, self.folder / "ca.crt", self.folder / who)

    def api(self, who: str = "operator") -> Api:
        """The operator's own client."""
        return Api(self.access(who))

    def apply(self, found: Mapping[str, Any], resource: str) -> dict[str, Any]:
        """Have an object, as `kubectl apply --server-side` has it; `resource` is its path without the name."""
        return self.ask("PATCH", f"{resource}/{found['metadata']['name']}?fieldManager=test&force=true",
                        found, "application/apply-patch+yaml")  # fmt: skip

    def ask(
        self, method: str, path: str, body: Any = None, kind: str = JSON, who: str = "admin", accept: str = JSON
    ) -> dict[str, Any]:
        """Any request; raises Refused."""
        pool = urllib3.PoolManager(ca_certs=str(self.folder / "ca.crt"), retries=False, timeout=10)
        headers = {"Authorization": f"Bearer {who}", "Content-Type": kind, "Accept": accept}
        sent = None if body is None else msgspec.json.encode(body)
        with pool:
            answer = pool.request(method, f"https://127.0.0.1:{self.port}/{path}", body=sent, headers=headers)
        if JSON not in answer.headers.get("Content-Type", ""):  # so it tells of a kind that is not served yet
            raise Refused(answer.status, answer.data.decode(errors="replace"))
        found: dict[str, Any] = msgspec.json.decode(answer.data)
        if answer.status >= 400:
            raise Refused(answer.status, found.get("message", ""))
        return found

    def until(self, condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
        """Wait until it holds; what is refused does not hold yet."""
        give_up_at, last = time.monotonic() + deadline_s, ""
        while time.monotonic() < give_up_at:
            try:
                if condition():
                    return
            except Refused as error:
                last = str(error)
            time.sleep(0.05)
        raise AssertionError(f"{what} did not come true within {deadline_s:g} s: {last}")

    def _ready(self) -> bool:
        try:
            pool = urllib3.PoolManager(ca_certs=str(self.folder / "ca.crt"), retries=False, timeout=2)
            with pool:
                headers = {"Authorization": "Bearer admin"}
                return pool.request("GET", f"https://127.0.0.1:{self.port}/readyz", headers=headers).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    def _start(self, command: list[str]) -> None:
        found = program(command[0])
        assert found is not None
        with (self.folder / f"{command[0]}.log").open("ab") as log:
            self.processes.append(subprocess.Popen([found, *command[1:]], stdout=log, stderr=log))


class Refused(Exception):
    """An answer of the API server with an error's status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status, self.message = status, message

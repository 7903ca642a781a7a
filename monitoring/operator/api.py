"""The little of Kubernetes' API that the operator uses, as plain REST: the official client takes 50 MB more.

Api(Access.from_env()).get("apis/rapt.dev/v1alpha1/namespaces/rapt/experiments/new-model")
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import urllib3

from monitoring.operator.errors import (
    KubernetesDenied,
    KubernetesError,
    KubernetesUnavailable,
    KubernetesUnset,
    ObjectChanged,
    ObjectMissing,
    ObjectRefused,
)

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
DEADLINE_S = 10.0
JSON, JSON_PATCH = "application/json", "application/json-patch+json"
SHOWN = 300

Object = dict[str, Any]
"""Any object of Kubernetes, as JSON has it."""


@dataclass(frozen=True)
class Access:
    """Where the API server is, and as whom it is asked."""

    server: str
    namespace: str
    ca_file: Path
    token_file: Path

    @classmethod
    def from_env(cls, environment: Mapping[str, str] = os.environ, account: Path = ACCOUNT) -> Access:
        """As the kubelet tells every pod; raises KubernetesUnset."""
        try:
            host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
            namespace = (account / "namespace").read_text(encoding="utf-8").strip()
        except (KeyError, FileNotFoundError) as error:
            raise KubernetesUnset(f"{error}: run this in a pod whose service account's token is mounted") from error
        server = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
        return cls(server, namespace, account / "ca.crt", account / "token")

    @property
    def token(self) -> str:
        """As it is now: the kubelet renews it every hour."""
        return self.token_file.read_text(encoding="utf-8").strip()


class Api:
    """Objects of one namespace, named by `kind`: the path up to `namespaces`, then a plural (`apps/v1/deployments`)."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._http = urllib3.PoolManager(ca_certs=str(access.ca_file), retries=False, timeout=DEADLINE_S)

    def get(self, kind: str, name: str) -> Object | None:
        """An object; None when there is none of that name."""
        try:
            return self._ask("GET", self._path(kind, name))
        except ObjectMissing:
            return None

    def items(self, kind: str, labels: Mapping[str, str] | None = None) -> list[Object]:
        """All objects with these labels."""
        selector = ",".join(f"{key}={value}" if value else key for key, value in (labels or {}).items())
        found: list[Object] = self._ask("GET", self._path(kind), fields={"labelSelector": selector})["items"]
        return found

    def create(self, kind: str, body: Object) -> Object:
        """A new object; raises ObjectChanged when it is there already, ObjectRefused when it is none."""
        return self._ask("POST", self._path(kind), body)

    def patch(self, kind: str, name: str, operations: Sequence[Object], part: str = "") -> Object:
        """Change an object, or its subresource `part`, by a JSON patch; raises ObjectMissing, ObjectChanged."""
        return self._ask("PATCH", self._path(kind, name, part), list(operations))

    def delete(self, kind: str, name: str) -> None:
        """Have no object of that name."""
        try:
            self._ask("DELETE", self._path(kind, name))
        except ObjectMissing:
            return

    def _path(self, kind: str, name: str = "", part: str = "") -> str:
        group, _, plural = kind.rpartition("/")
        root = "api" if group == "v1" else "apis"
        return "/".join(filter(None, (root, group, "namespaces", self.access.namespace, plural, name, part)))

    def _ask(self, method: str, path: str, body: object = None, fields: Mapping[str, str] | None = None) -> Object:
        headers = {"Authorization": f"Bearer {self.access.token}", "Accept": JSON}
        if body is not None:
            headers["Content-Type"] = JSON_PATCH if method == "PATCH" else JSON
        asked = {"body": None if body is None else msgspec.json.encode(body)} if method != "GET" else {"fields": fields}
        try:
            answer = self._http.request(method, f"{self.access.server}/{path}", headers=headers, **asked)
            document: Object = msgspec.json.decode(answer.data)
        except (urllib3.exceptions.HTTPError, msgspec.DecodeError) as error:
            raise KubernetesUnavailable(f"no answer from {self.access.server}: {error}") from error
        if answer.status < 400:
            return document
        what = f"{method} {path}: {answer.status} {str(document.get('message', ''))[:SHOWN]}"
        raise _failure(answer.status)(what)


def _failure(status: int) -> type[KubernetesError]:
    if status >= 500 or status == 429:
        return KubernetesUnavailable
    named = {400: ObjectRefused, 401: KubernetesDenied, 403: KubernetesDenied, 404: ObjectMissing, 409: ObjectChanged,
             422: ObjectRefused}  # fmt: skip
    return named.get(status, KubernetesError)

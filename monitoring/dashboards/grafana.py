"""A Grafana that is there already: its folder, and dashboards put into it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin, urlsplit

from grafana_api.grafana_api import GrafanaClientError, GrafanaException
from grafana_api.grafana_face import GrafanaFace
from requests import Response
from requests.exceptions import RequestException

from monitoring.dashboards.errors import GrafanaRefused, GrafanaUnavailable, InvalidGrafana

FOLDER_UID = "rapt"
TIMEOUT_S = 20.0


class Grafana:
    """Speaks to the Grafana at `url` with the token of a service account that may edit; raises InvalidGrafana."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        parts = urlsplit(url)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1 or parts.query or parts.username:
            raise InvalidGrafana(
                f"{url.rpartition('@')[2]!r} is no address of a Grafana; one is https://grafana.example.com/path"
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        path = parts.path.strip("/")
        prefix = f"{path}/" if path else ""
        self._face = GrafanaFace(token, host, port, prefix, parts.scheme, timeout=TIMEOUT_S)
        self._face.api.s.hooks["response"].append(self._stay)

    def folder(self, title: str) -> str:
        """The uid of our folder, which is made under `title` where there is none."""
        with self._named():
            try:
                self._face.folder.get_folder(FOLDER_UID)
            except GrafanaClientError as error:
                if error.status_code != 404:
                    raise
                self._face.folder.create_folder(title, FOLDER_UID)
        return FOLDER_UID

    def put(self, document: dict[str, Any], folder: str) -> str:
        """Put a dashboard in the place of the one with its uid, if any; where it is then."""
        with self._named():
            asked = {"dashboard": document, "folderUid": folder, "overwrite": True, "message": "rapt dashboards push"}
            answer = self._face.dashboard.update_dashboard(asked)
            return urljoin(self.url, str(answer.get("url", f"/d/{document['uid']}")))

    def _stay(self, answer: Response, *_: Any, **__: Any) -> None:
        """Follow nobody: a POST that is led elsewhere would become a GET."""
        if answer.is_redirect:
            raise InvalidGrafana(f"{self.url} leads to {answer.headers['location']}: give --url the address itself")

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Failures by our names."""
        try:
            yield
        except GrafanaException as error:
            if error.status_code in {401, 403}:
                wanted = "give it a token of a service account with the role Editor"
                raise GrafanaRefused(
                    f"Grafana at {self.url} refuses the token ({error.status_code}): {wanted}"
                ) from error
            if error.status_code >= 500:
                raise GrafanaUnavailable(f"Grafana at {self.url} fails: {error.message}") from error
            raise GrafanaRefused(f"Grafana at {self.url} refuses: {error.message}") from error
        except RequestException as error:
            raise GrafanaUnavailable(f"no Grafana answers at {self.url}: {error}") from error
        except (TypeError, AttributeError) as error:  # the client takes every answer for one of Grafana's
            raise GrafanaUnavailable(f"what answers at {self.url} is no Grafana: check its path") from error

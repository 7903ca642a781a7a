"""Which addresses a download may reach, checked on the address that is really connected to."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from interest.errors import InvalidSetting
from wire.errors import ForbiddenAddress, ForbiddenUrl, Unreachable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_TRANSLATED = ipaddress.ip_network("64:ff9b::/96")
_TUNNELS = (ipaddress.ip_network("2001::/32"), ipaddress.ip_network("2002::/16"))
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://[^\s'\"<>]+")


@dataclass(frozen=True)
class Guard:
    """Refuses every address that is not public, except those of `allow_private`.

    `allow_private` is False (none), True (all), or pairs `address:port`, IPv6 as `[address]:port`.
    """

    allow_private: bool | Sequence[str] = False

    def __post_init__(self) -> None:
        if not isinstance(self.allow_private, bool):
            object.__setattr__(self, "allow_private", tuple(_pair(entry) for entry in self.allow_private))

    def permits(self, address: str, port: int) -> bool:
        """Whether a connection to this IP address (a literal, never a name) and port may be made."""
        try:
            ip = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(self.allow_private, bool):
            return self.allow_private or is_public(ip)
        return is_public(ip) or _spell(_unwrapped(ip), port) in self.allow_private

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """Resolve once, check every address, connect to a checked one; no second look-up happens.

        Raises `ForbiddenAddress` when any address of the host is refused, `Unreachable` when none answers.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise Unreachable(f"host {host!r} does not resolve ({error}); check its spelling") from None
        for *_, where in found:
            if not self.permits(str(where[0]), port):
                raise ForbiddenAddress(
                    f"{host}:{port} is the private or reserved address {where[0]}; "
                    "to download from it, name address:port in allow_private"
                )
        failure: OSError | None = None
        for family, kind, protocol, _, where in found:
            connection = socket.socket(family, kind, protocol)
            try:
                connection.settimeout(timeout_s)
                connection.connect(where)
            except OSError as error:
                connection.close()
                failure = error
            else:
                return connection
        raise Unreachable(f"{host}:{port} refused the connection ({failure}); is the server up?")


def check_url(url: str) -> SplitResult:
    """The parts of an http or https URL with a host; raises `ForbiddenUrl` for anything else."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as error:
        raise ForbiddenUrl(f"{redacted(url)!r} is no URL: {error}") from None
    if parts.scheme not in ("http", "https"):
        raise ForbiddenUrl(f"{redacted(url)!r}: scheme {parts.scheme!r} is refused; give http or https")
    if not host or port == 0 or re.search(r"[\x00-\x20\x7f\\]", url):
        raise ForbiddenUrl(f"{redacted(url)!r} has no usable host, or holds spaces or control characters")
    return parts


def is_public(address: Address) -> bool:
    """Whether an address is a plain one of the internet: not private, loopback, link-local, shared or so."""
    address = _unwrapped(address)
    if isinstance(address, ipaddress.IPv6Address) and (
        address not in _GLOBAL_UNICAST or any(address in net for net in _TUNNELS)
    ):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def redacted(url: str) -> str:
    """The URL as it may be shown: no user, no password, no query, no fragment."""
    scheme, colon, rest = url.partition(":")
    if not rest.startswith("//"):
        return f"{scheme}:…" if colon else url[:200]
    place, *query = re.split(r"[?#]", rest[2:], maxsplit=1)
    host, slash, path = place.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"[:200] + ("?…" if query else "")


def redacted_text(text: str) -> str:
    """`text` in one line with every URL in it redacted."""
    return _URL.sub(lambda match: redacted(match.group()), " ".join(text.split()))


def _unwrapped(address: Address) -> Address:
    """The IPv4 address inside a mapped or NAT64 IPv6 address, else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _TRANSLATED:
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _spell(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _pair(entry: str) -> str:
    host, _, port = entry.rpartition(":")
    try:
        return _spell(_unwrapped(ipaddress.ip_address(host.strip("[]"))), int(port))
    except ValueError:
        raise InvalidSetting(
            f"allow_private entry {entry!r} is not address:port, as in 127.0.0.1:8080 or [::1]:8080"
        ) from None

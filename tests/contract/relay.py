"""A relay on loopback that lets the last bytes of a broker and the end of the connection arrive in one packet."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

HELD_S = 0.2
"""How long the broker's bytes are held back for the end to come; brokers close at once after a refusal."""


@contextmanager
def relay_in_one_piece(broker: str) -> Iterator[str]:
    """The address of a relay to `broker` (both `host:port`)."""
    host, port = broker.split(":")
    with closing(socket.create_server((host, 0))) as listening:
        threading.Thread(target=_accept, args=(listening, (host, int(port))), daemon=True).start()
        yield f"{host}:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, broker: tuple[str, int]) -> None:
    with suppress(OSError):
        while True:
            client, _ = listening.accept()
            upstream = socket.create_connection(broker)
            threading.Thread(target=_forward, args=(client, upstream), daemon=True).start()
            threading.Thread(target=_hold_back, args=(upstream, client), daemon=True).start()


def _forward(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError), closing(source):
        while received := source.recv(65536):
            sink.sendall(received)
        sink.shutdown(socket.SHUT_WR)


def _hold_back(source: socket.socket, sink: socket.socket) -> None:
    """Corked, a socket sends its last bytes and the end as one."""
    source.settimeout(HELD_S)
    with suppress(OSError), closing(source):
        while True:
            sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            try:
                received = source.recv(65536)
            except TimeoutError:
                sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
                continue
            if not received:
                return sink.shutdown(socket.SHUT_WR)
            sink.sendall(received)

"""Ports for the services that tests start."""

import random
import socket

from rapt.settings import STORE_PORTS


def free_ports() -> int:
    """The first of ten neighbouring loopback ports that are free, below those that the system hands out."""
    while True:
        first = random.randrange(10_000, 32_000 - STORE_PORTS)
        try:
            for port in range(first, first + STORE_PORTS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first

"""Ports for the services that tests start."""

import os
import random
import socket

from rapt.settings import SERVING_PORTS, STORE_PORTS

LOW, HIGH = 10_000, 32_000
NEIGHBOURS = max(SERVING_PORTS, STORE_PORTS)


def free_ports() -> int:
    """The first of as many neighbouring loopback ports as a stack takes that are free, below those the system gives;
    of tests that run side by side, each process has a range of its own.
    """
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    width = (HIGH - LOW) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        first = LOW + number * width + random.randrange(width - NEIGHBOURS)
        try:
            for port in range(first, first + NEIGHBOURS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
        except OSError:
            continue
        return first

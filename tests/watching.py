"""Simulated viewers who ask and act all the while, beside what a test looks at."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from interest.simulator.audience import Audience
from rapt import traffic
from rapt.traffic import Plan, Traffic
from wire.kafka import KafkaSettings, producer


class Watched(Traffic):
    """What came of it up to now, and who they are."""

    users: frozenset[str]


@contextmanager
def watching(audience: Audience, kafka: KafkaSettings, plan: Plan) -> Iterator[Watched]:
    """Inside, the audience asks and acts as planned."""
    came, ended = Watched(), threading.Event()
    came.users = frozenset(audience.users)
    sending = producer(kafka, linger_ms=50)  # the embedded broker writes an object a batch
    thread = threading.Thread(
        target=lambda: traffic.run(audience, sending, plan, lambda now: came.__dict__.update(now.__dict__), ended)
    )
    thread.start()
    try:
        yield came
    finally:
        ended.set()
        thread.join(60)
        sending.close()

"""Sends events over some seconds from the gateway pod: python sends.py PREFIX VIEWERS EVENTS SECONDS.

Every viewer gets as many events; it ends well only when each of them is acknowledged.
"""

import sys
import time

import msgspec

from interest.records import Event, Kind
from wire.kafka import EVENTS, KafkaSettings, producer


def main() -> None:
    prefix, viewers, events, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    begin_ms, pause_s = time.time_ns() // 1_000_000, seconds / events
    sender = producer(KafkaSettings.from_env())
    for number in range(events):
        for viewer in range(viewers):
            user_id = f"{prefix}-{viewer}"
            event = Event(
                event_id=f"{user_id}-{number}",
                user_id=user_id,
                video_id=f"sim-{number % 9:05d}",
                request_id="sent",
                ts_ms=begin_ms + number,
                kind=Kind.WATCH,
                watch_ms=5000,
            )
            sender.send(EVENTS, user_id.encode(), msgspec.json.encode(event))
        time.sleep(pause_s)
    sender.flush(120)
    sender.close()
    print("acknowledged")


if __name__ == "__main__":
    main()

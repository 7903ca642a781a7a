"""Sends events over some seconds from the gateway pod: python sends.py PREFIX VIEWERS EVENTS SECONDS.

Every viewer gets as many events; it ends well only when each of them is acknowledged.
"""

import sys
import time

import msgspec

from interest.records import Event, Kind
from wire.errors import BufferFull
from wire.kafka import EVENTS, KafkaSettings, producer

PATIENCE_S = 60.0


def main() -> None:
    prefix, viewers, events, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    begin_ms, pause_s = time.time_ns() // 1_000_000, seconds / events
    give_up_at = time.time() + seconds + PATIENCE_S
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
            while True:
                try:
                    sender.send(EVENTS, user_id.encode(), msgspec.json.encode(event))
                    break
                except BufferFull:
                    if time.time() > give_up_at:
                        raise
                    time.sleep(0.1)
        time.sleep(pause_s)
    sender.flush(120)
    sender.close()
    print("acknowledged")


if __name__ == "__main__":
    main()

"""How long and how much both clients wait, buffer and fetch."""

CONNECT_S = 8.0
"""Seconds to reach a broker for the first time."""
CLOSE_S = 5.0
"""Seconds for unacknowledged records when a producer is closed."""
LINGER_MS = 5
"""How long a record waits for others of its batch."""
DELIVERY_MS = 120_000
"""How long a record is tried, over reconnections, before it is given up."""
MAX_WAITING = 100_000
MAX_WAITING_BYTES = 32 << 20
"""What a producer holds at most; beyond it `send` raises BufferFull."""
MAX_RECORD_BYTES = 1_000_000
"""Key, value and headers together; brokers take batches of 1,048,588 bytes by default."""
MAX_REQUEST_BYTES = 1 << 20
FETCH_WAIT_MS = 250
"""How long a broker may hold a fetch with nothing to read. Kafka answers as soon as something comes; Tansu only
sometimes, so that with 500 ms a record can be that late."""

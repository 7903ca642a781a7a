"""Every failure at a process boundary by name; the message says what, which value, and what to do next."""


class WireError(Exception):
    """Root of the named failures of `wire`; the CLI prints it as one line."""


class FetchError(WireError):
    """A download that did not succeed; the item is rejected with this message as its reason."""


class ForbiddenUrl(FetchError):
    """A URL that is not to be fetched: not http or https, no host, too many redirects."""


class ForbiddenAddress(ForbiddenUrl):
    """A URL or redirect that leads to a private, loopback or otherwise reserved address."""


class HttpFailure(FetchError):
    """An answer with an error status that a retry does not mend."""


class NoMedia(FetchError):
    """A page in which yt-dlp finds no video that one plain download can bring."""


class TooLarge(FetchError):
    """A file or video over the size or duration limit."""


class FetchTimeout(FetchError):
    """The time for one download is over; what has arrived is kept for the next run."""


class Unreachable(FetchError):
    """A failure that may pass: no connection, a broken stream, a server error, too many requests."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CacheUnwritable(WireError):
    """The folder for partial downloads cannot be written: disk full, no permission."""


class ObjectStoreError(WireError):
    """Root of the object store's failures, and any answer of it that has no name of its own."""


class ObjectStoreUnset(ObjectStoreError):
    """The settings that lead to the object store are missing or malformed."""


class InvalidObjectName(ObjectStoreError):
    """A key, digest or URI that cannot name an object of this store."""


class ObjectNotFound(ObjectStoreError):
    """No object under this key."""


class ObjectCorrupt(ObjectStoreError):
    """A blob whose bytes do not have the digest in its name."""


class AccessDenied(ObjectStoreError):
    """The store does not accept the credentials, or not for this."""


class ObjectStoreFull(ObjectStoreError):
    """The store has no room for the object."""


class ObjectStoreUnavailable(ObjectStoreError):
    """The store did not answer, or only with server errors, until the deadline."""


class LocalDiskFull(ObjectStoreError):
    """No room on this machine for a file from the store."""


class KafkaError(WireError):
    """Root of the stream's failures, and any answer of a broker that has no name of its own."""


class KafkaUnset(KafkaError):
    """The settings that lead to Kafka are missing or malformed."""


class KafkaUnavailable(KafkaError):
    """No broker answered in time."""


class KafkaDenied(KafkaError):
    """A broker is not trusted, or does not accept the user, or not for this topic."""


class UnknownTopic(KafkaError):
    """A topic or partition that the brokers do not have."""


class BufferFull(KafkaError):
    """The producer holds as many records as it may; the record was not taken."""


class RecordTooLarge(KafkaError):
    """A record that no broker with default settings takes."""


class DeliveryFailed(KafkaError):
    """Records that were sent and not acknowledged; they may or may not be in the topic."""


class OffsetGone(KafkaError):
    """The next record to read is not there any more (retention), or not yet (the topic was made anew)."""

    def __init__(self, message: str, topic: str, partition: int) -> None:
        super().__init__(message)
        self.topic = topic
        self.partition = partition


class PortTaken(WireError):
    """An address that a worker is to answer at cannot be listened on."""

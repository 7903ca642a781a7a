"""Messages on topic `videos` to content on topic `content`: downloaded, decoded, encoded, scorable in seconds.

An offset is noted once everything before it is acknowledged on `content` or `videos.dead`. So a feed that is
killed does its last messages again, and content published twice is the same content.
"""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from itertools import islice

import msgspec

from inference.bundles import BundleFollower
from inference.catalogue_feed.intake import Intake
from inference.catalogue_feed.library import Library
from inference.catalogue_feed.metrics import Metrics
from inference.catalogue_feed.model import Model
from inference.catalogue_feed.progress import Progress, ProgressNote
from interest.features.content import Features, FeatureSettings
from interest.records import Content, Video
from wire.errors import (
    AccessDenied,
    CacheUnwritable,
    KafkaError,
    LocalDiskFull,
    ObjectStoreFull,
    ObjectStoreUnavailable,
    OffsetGone,
    RecordTooLarge,
)
from wire.kafka import CONTENT, EARLIEST, Consumer, Producer, Record, dead_letter

LOG = logging.getLogger(__name__)
IN_FLIGHT = 8
"""Videos at work at once: a slow server holds up none of the others until there are so many."""
RENEWED_AT_ONCE = 8
IDLE_S, BUSY_S = 0.2, 0.02
FLUSH_S = 30.0
CUT_BYTES = 100_000
OURS = (AccessDenied, CacheUnwritable, KafkaError, LocalDiskFull, ObjectStoreFull, ObjectStoreUnavailable)
"""Failures that no message is to blame for: the feed starts again where it was, until they have passed."""
EXHAUSTED = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM}

Made = tuple[Video, Features]


@dataclass
class Work:
    """One message on its way; `settings` are those that its features are made with."""

    record: Record
    video_id: str
    settings: FeatureSettings
    made: Future[Made]


class CatalogueFeed:
    """One connection's worth of following; whoever gets one of `OURS` from `step` closes it and makes another."""

    def __init__(
        self,
        library: Library,
        intake: Intake,
        bundles: BundleFollower[Model],
        consumer: Consumer,
        producer: Producer,
        note: ProgressNote,
        metrics: Metrics,
    ) -> None:
        self.library, self.intake, self.bundles = library, intake, bundles
        self.consumer, self.producer = consumer, producer
        self.note, self.metrics = note, metrics
        self._noted = note.read()
        self._encoded = self._noted.encoded
        self._work: list[Work] = []
        self._renewing: Iterator[Video] | None = None
        self._model: Model | None = None

    def close(self) -> None:
        """End the connections; what is at work is left, and done again by whoever goes on."""
        self.consumer.close()
        self.producer.close()

    def settle(self, timeout_s: float) -> None:
        """Take no more messages, finish what is done within the time, note it."""
        wait([work.made for work in self._work], timeout_s)
        if self._model is not None:
            self._finish(self._model)
            self._note()

    def step(self) -> None:
        """Take new messages, finish those whose features are made, encode some of the library anew."""
        model = self.bundles.current
        if model is None:
            time.sleep(IDLE_S)
            return
        if model is not self._model:
            self._follow(model)
        self._take(model)
        self._finish(model)
        self._renew(model)
        self._note()
        self._tell()

    def _follow(self, model: Model) -> None:
        """Encode by this model from now on, and what came before unless that is done already."""
        self._model = model
        if self._encoded != model.digest:
            LOG.info("encoding the library by model %s", model.digest[:12])
            self._encoded, self._renewing = "", self.library.videos()

    def _take(self, model: Model) -> None:
        busy = self._renewing is not None or bool(self._work)
        if len(self._work) >= IN_FLIGHT:
            wait([work.made for work in self._work], BUSY_S, return_when=FIRST_COMPLETED)
            return
        try:
            records = self.consumer.poll(IN_FLIGHT - len(self._work), BUSY_S if busy else IDLE_S)
        except OffsetGone as error:
            LOG.error("%s; going on with the oldest message there is, and encoding the library anew", error)
            self.consumer.seek(error.topic, error.partition, EARLIEST)
            self._encoded, self._renewing = "", self.library.videos()
            return
        self._work += [self._begin(record, model) for record in records]

    def _begin(self, record: Record, model: Model) -> Work:
        try:
            video = msgspec.json.decode(record.value or b"", type=Video)
        except msgspec.DecodeError as error:
            bad: Future[Made] = Future()
            bad.set_exception(error)
            return Work(record, "", model.settings, bad)
        return Work(record, video.video_id, model.settings, self._bring(video, model.settings))

    def _bring(self, video: Video, settings: FeatureSettings) -> Future[Made]:
        """On a thread that does not keep the process from ending."""
        made: Future[Made] = Future()

        def bring() -> None:
            try:
                made.set_result(self.intake.bring(video, settings))
            except BaseException as error:  # noqa: BLE001 - told to whoever asks for the result
                made.set_exception(error)

        threading.Thread(target=bring, name="intake", daemon=True).start()
        return made

    def _finish(self, model: Model) -> None:
        """Publish what is made, each video's messages in their order."""
        left: list[Work] = []
        waiting: set[str] = set()
        finished: list[Work] = []
        for work in self._work:
            if not work.made.done() or work.video_id in waiting:
                waiting.add(work.video_id)
                left.append(work)
            elif work.made.exception() is None and work.settings != model.settings:
                video = msgspec.json.decode(work.record.value or b"", type=Video)
                left.append(Work(work.record, video.video_id, model.settings, self._bring(video, model.settings)))
                waiting.add(work.video_id)
            elif self._finished(work, model):
                finished.append(work)
        if len(left) < len(self._work):
            self.producer.flush(FLUSH_S)
        self._work = left
        now_ms = time.time_ns() // 1_000_000
        for work in finished:
            self.metrics.encoded(max(0.0, (now_ms - work.record.ts_ms) / 1000))

    def _finished(self, work: Work, model: Model) -> bool:
        """Whether its content was sent; a message that cannot be used goes to the dead letters instead."""
        try:
            video, made = work.made.result()
        except OURS:
            raise
        except Exception as error:  # a message must not stop those after it, whatever it brings about
            if isinstance(error, OSError) and error.errno in EXHAUSTED:
                raise LocalDiskFull(f"this machine has no room for videos ({error}): free some") from error
            self._reject(work.record, error)
            return False
        self.library.put(video)
        self._publish(video, made, model)
        return True

    def _reject(self, record: Record, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}"
        LOG.warning("message %s/%d/%d is of no use: %s", record.topic, record.partition, record.offset, reason)
        try:
            dead_letter(self.producer, record, reason)
        except RecordTooLarge:
            cut = (record.value or b"")[:CUT_BYTES]
            dead_letter(self.producer, record._replace(value=cut), f"{reason} (value cut to {CUT_BYTES} bytes)")
        self.metrics.rejected(reason)

    def _renew(self, model: Model) -> None:
        if self._renewing is None:
            return
        some = list(islice(self._renewing, RENEWED_AT_ONCE))
        for video in some:
            try:
                self._publish(video, self.intake.features(video, model.settings), model)
            except OURS:
                raise
            except Exception:
                LOG.exception("video %s of the library cannot be encoded anew", video.video_id)
            else:
                self.metrics.renewed()
        self.producer.flush(FLUSH_S)
        if len(some) < RENEWED_AT_ONCE:
            self._encoded, self._renewing = model.digest, None

    def _publish(self, video: Video, made: Features, model: Model) -> None:
        content = Content(
            video_id=video.video_id,
            model_digest=model.digest,
            duration_s=video.duration_s,
            content=model.encoder.encode(made).astype("<f4").tobytes(),
        )
        self.producer.send(CONTENT, video.video_id.encode(), msgspec.json.encode(content))

    def _note(self) -> None:
        """Write down how far all messages are done, if that changed; everything before it is acknowledged."""
        offsets = {partition: at for (_, partition), at in self.consumer.positions().items() if at >= 0}
        for work in self._work:
            partition = work.record.partition
            offsets[partition] = min(offsets.get(partition, work.record.offset), work.record.offset)
        progress = Progress(self._noted.offsets | offsets, self._encoded)
        if progress != self._noted:
            self.note.write(progress)
            self._noted = progress

    def _tell(self) -> None:
        status = self.metrics.status
        status.model_digest = "" if self._model is None else self._model.digest
        status.renewing = self._renewing is not None
        status.in_flight = len(self._work)
        status.lag = sum(self.consumer.lags().values())
        status.offsets = self._noted.offsets

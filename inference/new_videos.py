"""The catalogue of a served model, grown by topic `content`: videos that came after training, encoded by the feed."""

from __future__ import annotations

import logging
import threading

import msgspec
import numpy as np

from interest.records import Content
from interest.scoring import Scorer
from wire.errors import KafkaError
from wire.kafka import CONTENT, EARLIEST, Client, KafkaSettings, Record, consumer

LOG = logging.getLogger(__name__)
BATCH = 512
POLL_S = 0.2
AGAIN_S = 1.0
PATIENCE_S = 10.0
"""How long a new model waits for the videos that are there already, before it serves without some."""

_DECODER = msgspec.json.Decoder(Content)


class NewVideos:
    """Follows the topic from its beginning, in its own thread, and puts what is this model's into its catalogue."""

    def __init__(self, settings: KafkaSettings, scorer: Scorer) -> None:
        self.settings, self.scorer = settings, scorer
        self.added = 0
        self.rejected = 0
        self.caught_up = threading.Event()
        self._ended = threading.Event()
        self._offset = EARLIEST
        self._thread = threading.Thread(target=self._run, name="new-videos", daemon=True)

    def start(self) -> None:
        """Begin, and wait a while until all that was there is in the catalogue."""
        self._thread.start()
        if not self.caught_up.wait(PATIENCE_S):
            LOG.warning("the topic %r is not read to its end yet; its videos come later", CONTENT)

    def close(self) -> None:
        """End following."""
        self._ended.set()
        self._thread.join()

    def apply(self, records: list[Record]) -> None:
        """Put the newest content of each video into the catalogue; what is of other models or bad is passed over."""
        newest: dict[str, Content] = {}
        for record in records:
            try:
                content = _DECODER.decode(record.value or b"")
            except msgspec.DecodeError as error:
                self.rejected += 1
                LOG.warning("content at offset %d is not readable: %s", record.offset, error)
                continue
            if content.model_digest == self.scorer.bundle.digest:
                newest[content.video_id] = content
        shape = self.scorer.catalogue.items.content.shape[1:]
        fitting = [one for one in newest.values() if len(one.content) == 4 * shape[0] * shape[1]]
        self.rejected += len(newest) - len(fitting)
        if fitting:
            vectors = np.stack([np.frombuffer(one.content, "<f4").reshape(shape) for one in fitting])
            lengths = np.array([one.duration_s for one in fitting])
            self.scorer.catalogue.put([one.video_id for one in fitting], vectors, lengths)
            self.added += len(fitting)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self._follow()
            except KafkaError as error:
                LOG.warning("no new videos for now: %s", error)
                self._ended.wait(AGAIN_S)

    def _follow(self) -> None:
        place = (CONTENT, 0)
        source = consumer(self.settings, {place: self._offset}, Client.CONFLUENT)
        try:
            while not self._ended.is_set():
                records = source.poll(BATCH, POLL_S)
                if records:
                    self.apply(records)
                    self._offset = records[-1].offset + 1
                if not self.caught_up.is_set() and source.lags().get(place) == 0:
                    self.caught_up.set()
        finally:
            source.close()

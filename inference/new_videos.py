"""The catalogue of a served model, grown by topic `content`: videos that came after training, encoded by the feed."""

from __future__ import annotations

import logging

import msgspec
import numpy as np

from interest.records import Content
from interest.scoring import Scorer
from wire.kafka import CONTENT, KafkaSettings, Record
from wire.kafka.follower import Follower

LOG = logging.getLogger(__name__)
PATIENCE_S = 10.0
"""How long a new model waits for the videos that are there already, before it serves without some."""

_DECODER = msgspec.json.Decoder(Content)


class NewVideos:
    """Follows the topic from its beginning, in its own thread, and puts what is this model's into its catalogue."""

    def __init__(self, settings: KafkaSettings, scorer: Scorer) -> None:
        self.scorer = scorer
        self.added = 0
        self.rejected = 0
        self._follower = Follower(settings, CONTENT, self.apply)

    def start(self) -> None:
        """Begin, and wait a while until all that was there is in the catalogue."""
        self._follower.start()
        if not self._follower.caught_up.wait(PATIENCE_S):
            LOG.warning("the topic %r is not read to its end yet; its videos come later", CONTENT)

    def close(self) -> None:
        """End following."""
        self._follower.close()

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

"""The transformer as a KServe model: viewer state, arm, predictor, exposure."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from prometheus_client import Gauge

from inference.arms import Arms
from inference.errors import InvalidRequest, Unavailable
from inference.protocol import Call
from inference.server.front import BUCKETS
from inference.server.later import Count, Spread
from inference.server.model import ServedModel
from inference.state import StateReader, ViewerState, open_reader
from inference.state.viewer_state import UNKNOWN
from inference.transformer import messages
from inference.transformer.arms import Answered, Trials
from inference.transformer.backend import Backend, Limits
from inference.transformer.exposures import Exposures
from inference.transformer.messages import Context, Instance, Prediction, PredictResponse, Scored
from inference.transformer.openapi import document
from interest.records import Exposure
from interest.serving import Answer, Ask
from interest.viewer_rows import video_key
from wire.errors import KafkaError
from wire.kafka import UNKNOWN_LAG, KafkaSettings

STAGES = Spread("rapt_stage_seconds", "Time of a prediction by stage", ("stage",), buckets=BUCKETS)
AGE = Spread("rapt_state_age_ms", "Age of the viewer state behind a prediction, ms",
             buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000, 30_000))  # fmt: skip
LAG = Gauge(
    "rapt_state_lag_records", "Records of the stream that are not in the state yet", multiprocess_mode="livemax"
)
PREDICTIONS = cache(Count("rapt_predictions", "Predictions by arm and model", ("arm", "model")).labels)
FALLBACKS = Count("rapt_fallbacks", "Answers with a learned stand-in for something unknown", ("what",))
VERSION = Gauge("rapt_arms_version", "Version of the allocation in effect", multiprocess_mode="livemin")
NEW_VIEWERS, NEW_VIDEOS = FALLBACKS.labels("viewer"), FALLBACKS.labels("video")
READING, SCORING = STAGES.labels("state"), STAGES.labels("predictor")
LOOK_EVERY_S, RECONNECT_S = 0.5, 1.0
OLDEST_STATE_MS = 10_000
"""A state that is further behind than this is not answered from."""


@dataclass(frozen=True)
class Settings:
    """What a transformer needs: predictors by arm, where the state lies, and limits."""

    predictor: str
    explainer: str
    state_folder: Path
    limits: Limits
    candidate_limits: Limits
    oldest_state_ms: int = OLDEST_STATE_MS


class Transformer(ServedModel):
    """Answers `:predict` and `:explain`, and v2 by the same path."""

    def __init__(self, name: str, settings: Settings, state: StateReader, kafka: KafkaSettings | None) -> None:
        super().__init__(name)
        self.settings, self.state, self.kafka = settings, state, kafka
        self.exposures: Exposures | None = None
        self.arms = Arms(kafka) if kafka is not None else None
        self._unlogged = "" if kafka is None else "the brokers"
        self._tasks: set[asyncio.Task[None]] = set()

    @staticmethod
    def from_env(name: str, settings: Settings) -> Transformer:
        """As the process's environment says."""
        kafka = KafkaSettings.from_env() if os.environ.get("RAPT_KAFKA_BOOTSTRAP") else None
        return Transformer(name, settings, open_reader(settings.state_folder), kafka)

    async def begin(self) -> None:
        self.backend = Backend(self.settings.predictor, self.name, self.settings.limits)
        self.explainer = Backend(self.settings.explainer, self.name, Limits(deadline_s=20.0))
        self.trials = Trials(self.backend, self.settings.candidate_limits)
        await self._connect_once()
        self.backend_waits = "the predictor at " + self.settings.predictor
        self._fresh = self.state.freshness()
        await self._look_once()
        if self.arms is not None:
            self.arms.start()
        self._tasks.add(asyncio.create_task(self._look()))
        self._tasks.add(asyncio.create_task(self._connect()))

    async def end(self) -> None:
        for task in self._tasks:
            task.cancel()
        await self.backend.close()
        await self.explainer.close()
        await self.trials.close()
        if self.arms is not None:
            await asyncio.to_thread(self.arms.close)
        if self.exposures is not None:
            await asyncio.to_thread(self.exposures.close)

    def missing(self) -> str:
        if self._unlogged:
            return self._unlogged
        if self.arms is not None and not self.arms.caught_up:
            return "the experiments that run: topic arms is not read to its end yet"
        if not self._fresh.ready:
            lag = self._fresh.lag
            behind = "has not heard of Kafka yet" if lag == UNKNOWN_LAG else f"is {lag} records behind"
            return f"viewers' states: the feeder {behind}, or does not run"
        return self.backend_waits

    def status(self) -> dict[str, object]:
        fresh = self.state.freshness()
        waiting = self.exposures.waiting if self.exposures is not None else 0
        return {"state_age_ms": fresh.age_ms, "lag": fresh.lag, "viewers": fresh.viewers, "exposures_waiting": waiting,
                "arms_version": self.arms.current.version if self.arms is not None else 0}  # fmt: skip

    async def predict_v1(self, body: bytes) -> bytes:
        request = messages.predict_request(body)
        if len(request.instances) == 1:
            predictions = [await self._predict(request.instances[0])]
        else:
            predictions = list(await asyncio.gather(*map(self._predict, request.instances)))
        return msgspec.json.encode(PredictResponse(predictions))

    async def explain_v1(self, body: bytes) -> bytes:
        request = messages.explain_request(body)
        (instance,) = request.instances
        ask, _ = self._asked(instance.user_id, instance.video_ids, instance.context, None)
        explained = await self.explainer.explain(ask, instance.video_ids, pictures=request.pictures)
        head = {"user_id": instance.user_id, "state_age_ms": self._fresh.age_ms, "now_ms": ask.now_ms}
        return msgspec.json.encode({"explanations": [head | msgspec.json.decode(explained)]})

    async def infer(self, call: Call) -> Call:
        """v2: `user_id` BYTES [1], `video_id` BYTES [N], and if wanted `position` INT64 [N], `now_ms` INT64 [1]."""
        users, videos = call.tensor("user_id", "BYTES"), call.tensor("video_id", "BYTES")
        positions = call.tensor("position", "INT64").tolist() if "position" in call.tensors else None
        now_ms = call.tensor("now_ms", "INT64").tolist() if "now_ms" in call.tensors else [None]
        if len(users) != 1 or len(now_ms) != 1:
            raise InvalidRequest(f"user_id has {len(users)} elements and now_ms {len(now_ms)}; each must have 1")
        if positions is not None and len(positions) != len(videos):
            raise InvalidRequest(f"position has {len(positions)} elements, video_id has {len(videos)}")
        try:
            plain = {"user_id": users[0].decode(), "video_ids": [one.decode() for one in videos],
                     "context": {"now_ms": now_ms[0]}}  # fmt: skip
            instance = msgspec.convert(plain, Instance)
            positions = msgspec.convert(positions, list[messages.Position] | None)
        except (msgspec.ValidationError, UnicodeDecodeError) as error:
            raise InvalidRequest(str(error)) from error
        made = await self._predict(instance, positions)
        unknown = set(made.unknown_videos)
        return Call(
            {
                "probability": np.array([one.probability for one in made.videos], np.float32),
                "known": np.array([one not in unknown for one in instance.video_ids]),
            },
            {"request_id": made.request_id, "arm": made.arm, "model_digest": made.model_digest,
             "state_age_ms": made.state_age_ms, "events": made.events},
        )  # fmt: skip

    def get_input_types(self) -> list[dict[str, object]]:
        return [
            {"name": "user_id", "datatype": "BYTES", "shape": [1]},
            {"name": "video_id", "datatype": "BYTES", "shape": [-1]},
            {"name": "position", "datatype": "INT64", "shape": [-1]},
            {"name": "now_ms", "datatype": "INT64", "shape": [1]},
        ]

    def get_output_types(self) -> list[dict[str, object]]:
        return [
            {"name": "probability", "datatype": "FP32", "shape": [-1]},
            {"name": "known", "datatype": "BOOL", "shape": [-1]},
        ]

    def openapi(self) -> dict[str, Any]:
        return document(self.name)

    async def _predict(self, instance: Instance, positions: Sequence[int] | None = None) -> Prediction:
        if self._unlogged:
            raise Unavailable(f"no exposure can be logged: waiting for {self._unlogged}")
        began = time.perf_counter()
        ask, viewer = self._asked(instance.user_id, instance.video_ids, instance.context, positions)
        age_ms = self._fresh.age_ms
        asked = time.perf_counter()
        READING.note(asked - began)
        logged = self.exposures is not None and self.exposures.healthy
        allocation = self.arms.current if self.arms is not None and logged else None
        made = await self.trials.answer(allocation, instance.user_id, ask)
        SCORING.note(time.perf_counter() - asked)
        scores = made.answer.probability.tolist()
        prediction = Prediction(
            user_id=instance.user_id,
            request_id=secrets.token_hex(16),
            arm=made.arm,
            model_digest=made.digest,
            state_age_ms=age_ms,
            events=len(ask.history),
            now_ms=ask.now_ms,
            videos=list(map(Scored, instance.video_ids, scores)),
            unknown_videos=_unknown(instance.video_ids, made.answer),
        )
        self._log(prediction, viewer, ask, scores, made)
        return prediction

    def _asked(
        self, user_id: str, video_ids: Sequence[str], context: Context, positions: Sequence[int] | None
    ) -> tuple[Ask, ViewerState]:
        """The viewer's state and what to ask a predictor; raises Unavailable."""
        self._fresh = self.state.freshness()
        if (age_ms := self._fresh.age_ms) > self.settings.oldest_state_ms:
            late = f"{age_ms} ms behind the stream, over {self.settings.oldest_state_ms}"
            raise Unavailable(f"viewers' states are {'not there: no feeder runs' if age_ms == UNKNOWN else late}")
        viewer = self.state.read(user_id)
        history, now_ms = viewer.rows, context.now_ms
        if now_ms is None:
            # Clocks of viewers' devices may run ahead of ours; what they did has happened all the same.
            now_ms = time.time_ns() // 1_000_000
            now_ms = max(now_ms, int(history["ts_ms"][-1]) + 1) if len(history) else now_ms
        else:
            history = history[history["ts_ms"] < now_ms]
        keys = np.array(list(map(video_key, video_ids)), np.uint64)
        place = np.full(len(keys), context.position) if positions is None else np.array(positions, np.int64)
        return Ask(history, now_ms, keys, place), viewer

    def _log(self, made: Prediction, viewer: ViewerState, ask: Ask, scores: list[float], answered: Answered) -> None:
        PREDICTIONS(made.arm, made.model_digest[:12]).note()
        AGE.note(made.state_age_ms)
        if not made.events:
            NEW_VIEWERS.note()
        if made.unknown_videos:
            NEW_VIDEOS.note(len(made.unknown_videos))
        if self.exposures is not None:
            self.exposures.send(
                Exposure(
                    request_id=made.request_id, user_id=made.user_id,
                    experiment=answered.experiment, arm=made.arm,
                    propensity=answered.propensity,
                    model_digest=made.model_digest, candidates=tuple(one.video_id for one in made.videos),
                    positions=tuple(ask.position.tolist()), scores=tuple(scores),
                    state_offset=(viewer.partition, viewer.offset), state_since=viewer.since,
                    state_age_ms=made.state_age_ms, ts_ms=made.now_ms, baseline=answered.baseline,
                    latency_ms=round(answered.latency_ms, 3), failed=answered.failed, unknown=len(made.unknown_videos),
                )
            )  # fmt: skip

    async def _connect(self) -> None:
        """Have somewhere to log exposures as soon as the brokers answer."""
        while self._unlogged:
            await asyncio.sleep(RECONNECT_S)
            await self._connect_once()

    async def _connect_once(self) -> None:
        if self.kafka is not None:
            try:
                self.exposures = await asyncio.to_thread(Exposures, self.kafka)
                self._unlogged = ""
            except KafkaError as error:
                self._unlogged = f"the brokers: {error}"

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            await self._look_once()

    async def _look_once(self) -> None:
        """What readiness and the gauges stand on."""
        self._fresh = self.state.freshness()
        LAG.set(self._fresh.lag)
        self.backend_waits = await self.backend.waits_for()
        if self.exposures is not None:
            self.exposures.look()
        if self.arms is not None:
            VERSION.set(self.arms.current.version)
            await self.trials.forget(self.arms.current)


def _unknown(video_ids: Sequence[str], answer: Answer) -> list[str]:
    return [one for one, known in zip(video_ids, answer.known.tolist(), strict=True) if not known]

"""The transformer's calls to a predictor: requests that wait while a call is under way leave together in the next one.

At low load nothing waits for anything; under load the cost of a call is shared by all that are in it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from grpc import aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service
from prometheus_client import Counter

from inference import protocol
from inference.errors import DeadlineExceeded, InferenceError, Overloaded, Unavailable
from inference.predictor import tensors
from interest.serving import Answer, Ask

MAX_MESSAGE_BYTES = 8 << 20
MOST_TOGETHER = 16
MOST_WAITING = 2048
READY_TIMEOUT_S = 1.0
FAILURES = Counter("rapt_predictor_call_failures", "Calls to a predictor that failed, by gRPC status", ("status",))
HEDGED = Counter("rapt_predictor_hedged_calls", "Calls that were asked a second time, since the first was slow")
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.enable_http_proxy", 0),
]


@dataclass(frozen=True)
class Limits:
    """`deadline_s` for a call; after `hedge_s` (None: never) it is asked again, and the first answer counts.

    At most `under_way` calls at a time: two keep a predictor busy while the answer to one is read.
    """

    deadline_s: float = 1.0
    hedge_s: float | None = None
    under_way: int = 2


@dataclass(frozen=True)
class _Waiting:
    ask: Ask
    answered: asyncio.Future[tuple[str, Answer]]


class Backend:
    """One predictor, or several behind one name."""

    def __init__(self, address: str, model: str, limits: Limits) -> None:
        self.address, self.model, self.limits = address, model, limits
        self._channel = aio.insecure_channel(address, options=OPTIONS)
        self._infer: Callable[..., Awaitable[Any]] = service.GRPCInferenceServiceStub(self._channel).ModelInfer
        self._ready: Callable[..., Awaitable[Any]] = service.GRPCInferenceServiceStub(self._channel).ModelReady
        self._waiting: deque[_Waiting] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._under_way = 0

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close()

    async def answer(self, ask: Ask) -> tuple[str, Answer]:
        """The digest of the model that answered, and its answer; raises Unavailable, DeadlineExceeded, Overloaded."""
        if len(self._waiting) >= MOST_WAITING:
            raise Overloaded(f"{MOST_WAITING} requests wait for a predictor already; add predictors, or ask less")
        waiting = _Waiting(ask, asyncio.get_running_loop().create_future())
        if self._under_way < self.limits.under_way and not self._waiting:
            await self._call([waiting])
        else:
            self._waiting.append(waiting)
        return await waiting.answered

    async def explain(self, ask: Ask, video_ids: Sequence[str], *, pictures: bool) -> bytes:
        """What the explainer says of one request, as JSON; raises what `answer` raises, and InvalidRequest."""
        names = np.empty(len(video_ids), object)
        names[:] = [video_id.encode() for video_id in video_ids]
        message = protocol.request(self.model, {**tensors.asked([ask]), "video_id": names}, {"pictures": pictures})
        try:
            reply = await self._infer(message, timeout=self.limits.deadline_s)
        except aio.AioRpcError as error:
            raise self._named(error) from error
        explained: bytes = protocol.from_response(reply).tensors["explanation"][0]
        return explained

    async def waits_for(self) -> str:
        """Why it cannot answer just now; empty when it can."""
        request = pb.ModelReadyRequest(name=self.model)
        try:
            ready = await self._ready(request, timeout=READY_TIMEOUT_S)
        except aio.AioRpcError as error:
            return f"the predictor at {self.address}: {error.code().name}"
        return "" if ready.ready else f"the predictor at {self.address}, which has no model yet"

    def _send(self) -> None:
        """Let those that wait leave together, when a call may leave."""
        if not self._waiting or self._under_way >= self.limits.under_way:
            return
        together = [self._waiting.popleft() for _ in range(min(MOST_TOGETHER, len(self._waiting)))]
        task = asyncio.create_task(self._call(together))
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)

    async def _call(self, together: list[_Waiting]) -> None:
        self._under_way += 1
        try:
            await self._answer(together)
        finally:
            self._under_way -= 1
            self._send()

    async def _answer(self, together: list[_Waiting]) -> None:
        asks = [one.ask for one in together]
        try:
            reply = await self._asked(protocol.request(self.model, tensors.asked(asks)))
            digest, answers = tensors.answers(protocol.from_response(reply), asks)
        except aio.AioRpcError as error:
            FAILURES.labels(error.code().name).inc()
            named = self._named(error)
            for one in together:
                if not one.answered.done():
                    one.answered.set_exception(named)
            return
        for one, answer in zip(together, answers, strict=True):
            if not one.answered.done():
                one.answered.set_result((digest, answer))

    async def _asked(self, message: Any) -> Any:
        call = self._infer(message, timeout=self.limits.deadline_s)
        if self.limits.hedge_s is None:
            return await call
        first = asyncio.ensure_future(call)
        done, _ = await asyncio.wait({first}, timeout=self.limits.hedge_s)
        if done:
            return first.result()
        HEDGED.inc()
        second = asyncio.ensure_future(self._infer(message, timeout=self.limits.deadline_s))
        done, left = await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
        winner = done.pop()
        if winner.exception() is not None and left:
            winner = left.pop()
            await asyncio.wait({winner})
        for one in left:
            one.cancel()
        return winner.result()

    def _named(self, error: aio.AioRpcError) -> InferenceError:
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(f"the predictor did not answer within {self.limits.deadline_s * 1e3:g} ms")
        if code is grpc.StatusCode.UNAVAILABLE:
            return Unavailable(f"the predictor cannot answer: {details[:200]}")
        return Unavailable(f"the predictor failed: {code.name} {details[:200]}")

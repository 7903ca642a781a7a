"""The transformer's calls to a predictor: requests that wait while a call is under way leave together in the next one.

At low load nothing waits for anything; under load the cost of a call is shared by all that are in it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
import numpy as np
from prometheus_client import Counter

from inference import protocol
from inference.errors import DeadlineExceeded, InferenceError, InvalidRequest, Overloaded, Unavailable
from inference.predictor import tensors
from inference.protocol import Array, Call, Parameter
from inference.transformer.connection import Answer as Reply
from inference.transformer.connection import Connection, connect
from interest.serving import Answer, Ask

MOST_TOGETHER = 16
MOST_WAITING = 2048
READY_TIMEOUT_S = 1.0
HTTP_PORT = 80
"""Where a Service of KServe's listens, when an address names no port."""
FAILURES = Counter("rapt_predictor_call_failures", "Calls to a predictor that failed", ("why",))
HEDGED = Counter("rapt_predictor_hedged_calls", "Calls that were asked a second time, since the first was slow")


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
    """One predictor, or several behind one name; `address` is HOST or HOST:PORT."""

    def __init__(self, address: str, model: str, limits: Limits) -> None:
        self.address, self.model, self.limits = address, model, limits
        host, _, port = address.rpartition(":")
        self._place = (host, int(port)) if host else (address, HTTP_PORT)
        self._idle: list[Connection] = []
        self._waiting: deque[_Waiting] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._under_way = 0

    async def close(self) -> None:
        """End the connections."""
        while self._idle:
            self._idle.pop().close()

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
        made = await self._infer({**tensors.asked([ask]), "video_id": names}, {"pictures": pictures})
        explained: bytes = made.tensors["explanation"][0]
        return explained

    async def waits_for(self) -> str:
        """Why it cannot answer just now; empty when it can."""
        request = b"GET /v2/models/%s/ready HTTP/1.1\r\nhost: predictor\r\n\r\n" % self.model.encode()
        try:
            reply = await self._asked(request, READY_TIMEOUT_S)
        except InferenceError as error:
            return f"the predictor at {self.address}: {error}"
        if reply.status == HTTPStatus.OK:
            return ""
        return f"the predictor at {self.address}, which waits for {_reason(reply, 'waits_for')}"

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
            digest, answers = tensors.answers(await self._infer(tensors.asked(asks)), asks)
        except InferenceError as error:
            FAILURES.labels(type(error).__name__).inc()
            for one in together:
                if not one.answered.done():
                    one.answered.set_exception(error)
            return
        for one, answer in zip(together, answers, strict=True):
            if not one.answered.done():
                one.answered.set_result((digest, answer))

    async def _infer(self, asked: dict[str, Array], parameters: dict[str, Parameter] | None = None) -> Call:
        """One call by v2 with binary tensors, asked again when it is slow and hedging is on."""
        size, body = protocol.binary_request(asked, parameters or {})
        request = b"POST /v2/models/%s/infer HTTP/1.1\r\nhost: predictor\r\n%s: %d\r\ncontent-length: %d\r\n\r\n%s" % (
            self.model.encode(), protocol.BINARY_LENGTH, size, len(body), body,
        )  # fmt: skip
        reply = await self._hedged(request)
        if reply.status == HTTPStatus.OK:
            return protocol.from_binary_response(reply.body, int(reply.headers[protocol.BINARY_LENGTH]))
        reason = f"{self.address}: {_reason(reply, 'error')}"
        if reply.status == HTTPStatus.BAD_REQUEST:
            raise InvalidRequest(reason)
        raise Unavailable(reason)

    async def _hedged(self, request: bytes) -> Reply:
        if self.limits.hedge_s is None:
            return await self._asked(request, self.limits.deadline_s)
        tasks = {asyncio.create_task(self._asked(request, self.limits.deadline_s))}
        done, _ = await asyncio.wait(tasks, timeout=self.limits.hedge_s)
        if not done:
            HEDGED.inc()
            tasks.add(asyncio.create_task(self._asked(request, self.limits.deadline_s)))
        while True:
            done, left = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            good = [task for task in done if task.exception() is None]
            if good or not left:
                for task in left:
                    task.cancel()
                return (good or list(done))[0].result()
            tasks = left

    async def _asked(self, request: bytes, deadline_s: float) -> Reply:
        """The answer to one request; raises DeadlineExceeded, Unavailable."""
        connection: Connection | None = None
        try:
            async with asyncio.timeout(deadline_s):
                while True:
                    kept = bool(self._idle)
                    connection = self._idle.pop() if kept else await connect(*self._place)
                    if connection.closed:
                        continue
                    try:
                        reply = await connection.call(request)
                        break
                    except ConnectionError:
                        # A kept one may have been ended by the other side meanwhile: that is no answer.
                        if not kept:
                            raise
        except TimeoutError as error:
            _close(connection)
            raise DeadlineExceeded(f"{self.address} did not answer within {deadline_s * 1e3:g} ms") from error
        except OSError as error:
            raise Unavailable(f"{self.address} cannot answer: {error}") from error
        except asyncio.CancelledError:
            _close(connection)
            raise
        if not connection.closed:
            self._idle.append(connection)
        return reply


def _close(connection: Connection | None) -> None:
    if connection is not None:
        connection.close()


def _reason(reply: Reply, name: str) -> str:
    """Its own words for what is wrong."""
    try:
        return str(msgspec.json.decode(reply.body)[name])[:300]
    except (msgspec.DecodeError, KeyError, TypeError):
        return f"status {reply.status}"

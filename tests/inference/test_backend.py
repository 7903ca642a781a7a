"""Calls to a predictor: together when they wait, within their deadline, asked again when hedged. A real HTTP server."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
import uvicorn

from inference import protocol
from inference.errors import DeadlineExceeded, Unavailable
from inference.predictor import tensors
from inference.server.flags import MAX_BODY_BYTES
from inference.server.front import Front, Reply, Request
from inference.transformer.backend import MOST_TOGETHER, Backend, Limits
from interest.serving import Answer, Ask
from interest.viewer_rows import ROW

Wait = Callable[[int], Awaitable[None]]


class Slow:
    """Answers position / 100 to each candidate, after what `wait(number of the call)` waits for."""

    def __init__(self, wait: Wait) -> None:
        self.wait = wait
        self.calls: list[int] = []
        self.ready = True

    async def infer(self, request: Request) -> Reply:
        asks = tensors.asks(protocol.from_json(request.body, int(request.headers[protocol.BINARY_LENGTH])))
        self.calls.append(len(asks))
        await self.wait(len(self.calls))
        answers = [Answer((one.position / 100).astype(np.float32), np.ones(len(one.videos), bool)) for one in asks]
        size, body = protocol.to_binary("m", tensors.answered("4f2a", answers))
        return Reply(body, headers=((protocol.BINARY_LENGTH, b"%d" % size),))

    async def is_ready(self, _: Request) -> Reply:
        return Reply(b"{}") if self.ready else Reply(b'{"waits_for": "a model"}', 503)


class Server(uvicorn.Server):
    """One that leaves the test's signals alone."""

    async def serve_on(self, sock: socket.socket) -> None:
        await self._serve([sock])


@asynccontextmanager
async def serving(slow: Slow, port: int = 0) -> AsyncIterator[int]:
    """The predictor's side on uvicorn, as the real one; gives its port."""
    routes = {("POST", "/v2/models/m/infer"): slow.infer, ("GET", "/v2/models/m/ready"): slow.is_ready}
    front = Front(nobody, routes, MAX_BODY_BYTES)
    server = Server(uvicorn.Config(front, lifespan="off", log_config=None, timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", port)) as sock:
        task = asyncio.create_task(server.serve_on(sock))
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield sock.getsockname()[1]
        finally:
            server.should_exit = True
            await task


async def nobody(scope: object, receive: object, send: object) -> None:
    raise AssertionError


@asynccontextmanager
async def predictor(wait: Wait, limits: Limits) -> AsyncIterator[tuple[Slow, Backend]]:
    slow = Slow(wait)
    async with serving(slow) as port:
        backend = Backend(f"127.0.0.1:{port}", "m", limits)
        try:
            yield slow, backend
        finally:
            await backend.close()


def ask(number: int, videos: int = 3) -> Ask:
    return Ask(np.zeros(0, ROW), 1, np.arange(videos, dtype=np.uint64), np.full(videos, number))


async def at_once(_: int) -> None:
    return


def test_each_gets_its_own_answer_and_those_that_wait_go_together() -> None:
    first_call = asyncio.Event()

    async def wait(call: int) -> None:
        if call <= 2:
            await first_call.wait()

    async def run() -> list[int]:
        async with predictor(wait, Limits(deadline_s=20)) as (servicer, backend):
            tasks = [asyncio.create_task(backend.answer(ask(number, 1 + number % 5))) for number in range(1, 41)]
            while len(servicer.calls) < 2:
                await asyncio.sleep(0.01)
            first_call.set()
            for number, (digest, answer) in enumerate(await asyncio.gather(*tasks), start=1):
                assert digest == "4f2a"
                assert answer.probability.tolist() == [np.float32(number / 100)] * (1 + number % 5)
            return servicer.calls

    calls = asyncio.run(run())
    assert sum(calls) == 40
    assert calls[:2] == [1, 1], "nothing waits while a call may leave"
    assert max(calls) == MOST_TOGETHER


def test_a_slow_predictor_is_waited_for_until_the_deadline_and_no_longer() -> None:
    async def forever(_: int) -> None:
        await asyncio.sleep(60)

    async def run() -> float:
        async with predictor(forever, Limits(deadline_s=0.3)) as (_, backend):
            await backend.waits_for()
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded, match="did not answer within 300 ms"):
                await backend.answer(ask(1))
            return time.monotonic() - began

    assert 0.25 < asyncio.run(run()) < 10


def test_one_that_is_gone_is_unavailable_and_one_that_returns_is_used_again() -> None:
    async def run() -> None:
        slow = Slow(at_once)
        async with serving(slow) as port:
            backend = Backend(f"127.0.0.1:{port}", "m", Limits(deadline_s=20))
            await backend.answer(ask(1))
        with pytest.raises(Unavailable, match="cannot answer"):
            await backend.answer(ask(2))
        assert "cannot answer" in await backend.waits_for()
        async with serving(slow, port):
            assert await backend.waits_for() == ""
            assert (await backend.answer(ask(3)))[0] == "4f2a"
            slow.ready = False
            assert "waits for a model" in await backend.waits_for()
            await backend.close()

    asyncio.run(run())


def test_a_kept_connection_that_the_other_side_ended_costs_no_request() -> None:
    async def run() -> None:
        slow = Slow(at_once)
        async with serving(slow) as port:
            backend = Backend(f"127.0.0.1:{port}", "m", Limits(deadline_s=20))
            await backend.answer(ask(1))
        async with serving(slow, port):
            assert (await backend.answer(ask(2)))[0] == "4f2a"
            await backend.close()

    asyncio.run(run())


def test_what_is_no_predictor_is_told_and_not_waited_for() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"SSH-2.0-hello\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def run() -> None:
        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        backend = Backend(f"127.0.0.1:{port}", "m", Limits(deadline_s=20))
        with pytest.raises(Unavailable, match="no HTTP"):
            await backend.answer(ask(1))
        await backend.close()
        server.close()
        await server.wait_closed()

    asyncio.run(run())


def test_hedged_calls_take_the_answer_that_comes_first() -> None:
    async def first_never(call: int) -> None:
        if call == 1:
            await asyncio.sleep(60)

    async def run() -> list[int]:
        async with predictor(first_never, Limits(deadline_s=30, hedge_s=0.05)) as (servicer, backend):
            digest, _answer = await backend.answer(ask(1))
            assert digest == "4f2a"
            await backend.answer(ask(2))
            return servicer.calls

    assert len(asyncio.run(run())) == 3


def test_without_hedging_a_call_is_asked_once() -> None:
    async def slow(_: int) -> None:
        await asyncio.sleep(0.2)

    async def run() -> list[int]:
        async with predictor(slow, Limits(deadline_s=30)) as (servicer, backend):
            await backend.answer(ask(1))
            return servicer.calls

    assert asyncio.run(run()) == [1]

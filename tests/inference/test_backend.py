"""Calls to a predictor: together when they wait, within their deadline, asked again when hedged. A real gRPC server."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from grpc import aio
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb
from kserve.protocol.grpc import grpc_predict_v2_pb2_grpc as service

from inference import protocol
from inference.errors import DeadlineExceeded, Unavailable
from inference.predictor import tensors
from inference.transformer.backend import MOST_TOGETHER, Backend, Limits
from interest.serving import Answer, Ask
from interest.viewer_rows import ROW

Wait = Callable[[int], Awaitable[None]]


class Slow(service.GRPCInferenceServiceServicer):
    """Answers position / 100 to each candidate, after what `wait(number of the call)` waits for."""

    def __init__(self, wait: Wait) -> None:
        self.wait = wait
        self.calls: list[int] = []
        self.ready = True

    async def ModelInfer(self, request: pb.ModelInferRequest, _: object) -> pb.ModelInferResponse:
        asks = tensors.asks(protocol.from_grpc(request))
        self.calls.append(len(asks))
        await self.wait(len(self.calls))
        answers = [Answer((one.position / 100).astype(np.float32), np.ones(len(one.videos), bool)) for one in asks]
        return protocol.response("m", tensors.answered("4f2a", answers))

    async def ModelReady(self, _: pb.ModelReadyRequest, context: object) -> pb.ModelReadyResponse:  # noqa: ARG002
        return pb.ModelReadyResponse(ready=self.ready)


@asynccontextmanager
async def predictor(wait: Wait, limits: Limits) -> AsyncIterator[tuple[Slow, Backend, aio.Server]]:
    servicer, server = Slow(wait), aio.server()
    service.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    backend = Backend(f"127.0.0.1:{port}", "m", limits)
    try:
        yield servicer, backend, server
    finally:
        await backend.close()
        await server.stop(None)


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
        async with predictor(wait, Limits(deadline_s=20)) as (servicer, backend, _):
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
        async with predictor(forever, Limits(deadline_s=0.3)) as (_, backend, _server):
            await backend.waits_for()
            began = time.monotonic()
            with pytest.raises(DeadlineExceeded, match="did not answer within 300 ms"):
                await backend.answer(ask(1))
            return time.monotonic() - began

    assert 0.25 < asyncio.run(run()) < 10


def test_one_that_is_gone_is_unavailable_and_one_that_returns_is_used_again() -> None:
    async def run() -> None:
        async with predictor(at_once, Limits(deadline_s=20)) as (servicer, backend, server):
            await backend.answer(ask(1))
            address = backend.address
            await server.stop(None)
            with pytest.raises(Unavailable, match="cannot answer"):
                await backend.answer(ask(2))
            assert "UNAVAILABLE" in await backend.waits_for()
            again = aio.server()
            service.add_GRPCInferenceServiceServicer_to_server(servicer, again)
            again.add_insecure_port(address)
            await again.start()
            give_up_at = time.monotonic() + 30
            while await backend.waits_for():
                assert time.monotonic() < give_up_at
            assert (await backend.answer(ask(3)))[0] == "4f2a"
            servicer.ready = False
            assert "no model yet" in await backend.waits_for()
            await again.stop(None)

    asyncio.run(run())


def test_hedged_calls_take_the_answer_that_comes_first() -> None:
    async def first_never(call: int) -> None:
        if call == 1:
            await asyncio.sleep(60)

    async def run() -> list[int]:
        async with predictor(first_never, Limits(deadline_s=30, hedge_s=0.05)) as (servicer, backend, _):
            digest, _answer = await backend.answer(ask(1))
            assert digest == "4f2a"
            await backend.answer(ask(2))
            return servicer.calls

    assert len(asyncio.run(run())) == 3


def test_without_hedging_a_call_is_asked_once() -> None:
    async def slow(_: int) -> None:
        await asyncio.sleep(0.2)

    async def run() -> list[int]:
        async with predictor(slow, Limits(deadline_s=30)) as (servicer, backend, _):
            await backend.answer(ask(1))
            return servicer.calls

    assert asyncio.run(run()) == [1]

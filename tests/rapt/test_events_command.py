"""`rapt events send`, to a real broker."""

import json
import time
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from interest.records import Event, Kind
from rapt import cli
from rapt.errors import InvalidEvents, InvalidOption
from rapt.events import read_events
from tests.brokers import EmbeddedBroker
from tests.rapt.stream import events_of, make_topics


@pytest.fixture
def environment(embedded_broker: EmbeddedBroker, tmp_path: Path) -> dict[str, str]:
    env = {"RAPT_HOME": str(tmp_path / "home"), "RAPT_KAFKA_BOOTSTRAP": embedded_broker.service.address}
    make_topics(env)
    return env


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def event(number: int, user: str = "u", **changes: object) -> bytes:
    plain = {
        "event_id": f"{user}-{number}", "user_id": user, "video_id": "v", "request_id": "r", "ts_ms": now_ms(),
        "kind": "watch",
    }  # fmt: skip
    return json.dumps(plain | changes).encode()


def test_one_event_is_sent_and_acknowledged(environment: dict[str, str]) -> None:
    before = now_ms()
    arguments = ["events", "send", "--user", "one", "--video", "v9", "--kind", "watch", "--watch-ms", "12000",
                 "--position", "3", "--request-id", "r7", "--json"]  # fmt: skip
    done = CliRunner(env=environment).invoke(cli.app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    (found,) = events_of(environment, lambda event: event.user_id == "one", 1)
    assert before <= found.ts_ms <= now_ms()
    assert json.loads(done.stdout) == {"acknowledged": 1, "event_ids": [found.event_id]}
    assert msgspec.structs.replace(found, ts_ms=0, event_id="") == Event(
        event_id="", user_id="one", video_id="v9", request_id="r7", ts_ms=0, kind=Kind.WATCH, watch_ms=12000, position=3
    )


@pytest.mark.parametrize("from_stdin", [False, True])
def test_a_file_is_sent_in_its_order(environment: dict[str, str], tmp_path: Path, from_stdin: bool) -> None:
    user = f"file-{from_stdin}"
    lines = b"\n".join([event(1, user), b"", event(2, user, kind="like"), event(3, user, kind="skip"), b"  ", b""])
    path = tmp_path / "events.jsonl"
    path.write_bytes(lines)
    done = CliRunner(env=environment).invoke(
        cli.app, ["events", "send", "--file", "-" if from_stdin else str(path)], input=lines, catch_exceptions=False
    )
    assert done.stdout == "3 acknowledged\n"
    found = events_of(environment, lambda event: event.user_id == user, 3)
    assert [one.kind for one in found] == [Kind.WATCH, Kind.LIKE, Kind.SKIP]


def test_bad_lines_are_named_and_nothing_of_the_file_is_sent(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join([event(1, "bad"), b"{", event(3, "bad", kind="dance"), event(4, "bad")]))
    done = CliRunner(env=environment).invoke(cli.app, ["events", "send", "--file", str(path)])
    assert isinstance(done.exception, InvalidEvents)
    message = cli.one_line(done.exception)
    assert message.startswith("2 of 4 lines are no events, nothing was sent: line 2: ")
    assert "line 3: Invalid enum value 'dance'" in message
    sent = CliRunner(env=environment).invoke(
        cli.app, ["events", "send", "--user", "bad", "--video", "later"], catch_exceptions=False
    )
    assert sent.exit_code == 0
    assert [one.video_id for one in events_of(environment, lambda event: event.user_id == "bad", 1)] == ["later"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (event(1, ts_ms=-1), "ts_ms -1 is negative"),
        (event(1, ts_ms=now_ms() + 10**9), "the sender's clock is wrong"),
        (event(1, user_id=""), "user_id is empty"),
        (event(1, video_id="v" * 600), "video_id of 600 bytes"),
        (event(1, watch_ms=-5), "watch_ms -5 is negative"),
        (event(1, position=0), "position 0 is below 1"),
        (event(1, mood="sunny"), "unknown field `mood`"),
        (event(1, ts_ms=1.5), "Expected `int`"),
        (b'{"event_id": "\xff"}', "line 1"),
        (event(1).replace(b'"v"', b'"\\ud800"'), "line 1"),
        (b"[]", "Expected `object`"),
    ],
)
def test_what_the_feeder_would_not_take_is_refused_here(line: bytes, reason: str) -> None:
    with pytest.raises(InvalidEvents, match="line 1: ") as refusal:
        read_events([line])
    assert reason in str(refusal.value)


def test_of_many_bad_lines_ten_are_named() -> None:
    with pytest.raises(InvalidEvents, match=r"^25 of 25 lines .*line 10: [^;]*; and 15 more$"):
        read_events([b"x"] * 25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --user and --video for one event, or --file for many"),
        (["--user", "u", "--video", "v", "--file", "x"], "give --user and --video for one event, or --file"),
        (["--user", "u"], "both are needed"),
        (["--file", "nowhere.jsonl"], "'nowhere.jsonl': No such file"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = CliRunner(env={"RAPT_HOME": str(tmp_path)}).invoke(cli.app, ["events", "send", *arguments])
    assert isinstance(done.exception, InvalidOption)
    assert message in str(done.exception)


@pytest.mark.slow
def test_no_broker_is_one_clear_line(tmp_path: Path) -> None:
    from tests.ports import free_ports

    env = {"RAPT_HOME": str(tmp_path), "RAPT_KAFKA_BOOTSTRAP": f"127.0.0.1:{free_ports()}"}
    done = CliRunner(env=env).invoke(cli.app, ["events", "send", "--user", "u", "--video", "v"])
    assert done.exit_code == 1
    assert env["RAPT_KAFKA_BOOTSTRAP"] in cli.one_line(done.exception)  # type: ignore[arg-type]

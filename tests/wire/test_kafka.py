"""The parts of the stream that need no broker: settings, partitions, refusals, places."""

from pathlib import Path

import pytest

from wire.errors import KafkaDenied, KafkaUnset, OffsetGone
from wire.kafka import UNKNOWN_LAG, Client, KafkaSettings, partition_of
from wire.kafka.places import Places
from wire.kafka.refusal import Refusal
from wire.kafka.settings import Security

PLAIN = {"RAPT_KAFKA_BOOTSTRAP": "127.0.0.1:9092"}
SECURE = {
    "RAPT_KAFKA_BOOTSTRAP": "a:9093,b:9093",
    "RAPT_KAFKA_SECURITY": "SASL_SSL",
    "RAPT_KAFKA_USERNAME": "rapt",
    "RAPT_KAFKA_PASSWORD_FILE": "/password",
    "RAPT_KAFKA_CA_FILE": "/ca.crt",
    "RAPT_KAFKA_CLIENT": "confluent",
}


class Clock:
    """Seconds that pass when a test says so."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_settings_come_from_the_environment() -> None:
    assert KafkaSettings.from_env(PLAIN) == KafkaSettings("127.0.0.1:9092", Security.PLAINTEXT, client=Client.PYTHON)
    secure = KafkaSettings("a:9093,b:9093", Security.SASL_SSL, "rapt", "/password", "/ca.crt", Client.CONFLUENT)
    assert KafkaSettings.from_env(SECURE) == secure


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"RAPT_KAFKA_BOOTSTRAP": ""}, "RAPT_KAFKA_BOOTSTRAP not set"),
        ({"RAPT_KAFKA_BOOTSTRAP": "a:9092,b"}, "'b' is not of the form host:port"),
        ({"RAPT_KAFKA_BOOTSTRAP": ":9092"}, "':9092' is not of the form host:port"),
        ({"RAPT_KAFKA_SECURITY": "TLS"}, "RAPT_KAFKA_SECURITY='TLS' is not one of PLAINTEXT, SSL, SASL_PLAINTEXT"),
        ({"RAPT_KAFKA_CLIENT": "java"}, "RAPT_KAFKA_CLIENT='java' is not one of python, confluent"),
        ({"RAPT_KAFKA_USERNAME": ""}, "needs RAPT_KAFKA_USERNAME to be set"),
        (
            {"RAPT_KAFKA_USERNAME": "", "RAPT_KAFKA_PASSWORD_FILE": ""},
            "RAPT_KAFKA_USERNAME and RAPT_KAFKA_PASSWORD_FILE",
        ),
    ],
)
def test_a_wrong_setting_is_named(change: dict[str, str], message: str) -> None:
    with pytest.raises(KafkaUnset, match=message):
        KafkaSettings.from_env({**SECURE, **change})


def test_a_password_is_the_file_without_the_lines_end(tmp_path: Path) -> None:
    file = tmp_path / "password"
    settings = KafkaSettings("a:1", Security.SASL_SSL, "rapt", str(file))
    with pytest.raises(KafkaUnset, match="RAPT_KAFKA_PASSWORD_FILE"):
        settings.password()
    file.write_text("\n")
    with pytest.raises(KafkaUnset, match="is empty"):
        settings.password()
    file.write_text(" päss word \r\n")
    assert settings.password() == " päss word "


def test_an_authority_is_pem_or_the_systems(tmp_path: Path) -> None:
    assert KafkaSettings("a:1", Security.SSL).trusted() is None
    file = tmp_path / "ca.crt"
    file.write_text("not a certificate")
    with pytest.raises(KafkaUnset, match="holds no certificate in PEM"):
        KafkaSettings("a:1", Security.SSL, ca_file=str(file)).trusted()
    with pytest.raises(KafkaUnset, match="cannot read RAPT_KAFKA_CA_FILE"):
        KafkaSettings("a:1", Security.SSL, ca_file=str(tmp_path / "none")).trusted()


@pytest.mark.parametrize(
    ("key", "murmur2"),
    [
        # from the tests of Kafka's Java client (UtilsTest.testMurmur2)
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_a_key_goes_where_javas_client_puts_it(key: bytes, murmur2: int) -> None:
    for partitions in (1, 3, 8, 1000):
        assert partition_of(key, partitions) == (murmur2 & 0x7FFFFFFF) % partitions


def test_a_refusal_lasts_when_every_connection_of_ten_seconds_was_denied() -> None:
    clock = Clock()
    refusal = Refusal(clock)
    for _ in range(11):
        refusal.raise_if_lasting()
        refusal.heard(KafkaDenied("wrong password"))
        clock.now += 1
    with pytest.raises(KafkaDenied, match="wrong password"):
        refusal.raise_if_lasting()
    clock.now += 6
    refusal.raise_if_lasting()


def test_a_refusal_long_ago_does_not_add_to_a_new_one() -> None:
    clock = Clock()
    refusal = Refusal(clock)
    refusal.heard(KafkaDenied("still starting"))
    clock.now += 60
    refusal.heard(KafkaDenied("still starting"))
    refusal.raise_if_lasting()


def test_lag_of_a_partition_that_said_nothing_is_unknown() -> None:
    places = Places()
    places.offsets.update({("t", 0): 3, ("t", 1): 0, ("t", 2): 9})
    assert places.lags({("t", 0): 10, ("t", 1): None, ("t", 2): 9}) == {("t", 0): 7, ("t", 1): UNKNOWN_LAG, ("t", 2): 0}


def test_a_place_beyond_the_end_is_refused_once_it_stays_so() -> None:
    clock = Clock()
    places = Places(clock)
    places.offsets[("t", 1)] = 12
    places.refuse_beyond({("t", 1): 10})
    clock.now += 4
    places.refuse_beyond({("t", 1): 12})
    clock.now += 4
    places.refuse_beyond({("t", 1): 10})
    clock.now += 5
    with pytest.raises(OffsetGone, match="offset 12 of partition 1 of topic 't'"):
        places.refuse_beyond({("t", 1): 10})

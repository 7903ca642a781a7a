from pathlib import Path

import pytest

from rapt.errors import InvalidSettings
from rapt.settings import load


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def test_each_source_overrides_the_one_before(home: Path, tmp_path: Path) -> None:
    (home / "config.toml").write_text('s3_bucket = "from-home"\ns3_region = "from-home"\ns3_deadline_s = 1.5\n')
    (tmp_path / "rapt.toml").write_text('s3_region = "from-folder"\ns3_deadline_s = 2\n')
    settings = load({"RAPT_HOME": str(home), "RAPT_S3_DEADLINE_S": "3.5"}, tmp_path)
    assert (settings.s3_bucket, settings.s3_region, settings.s3_deadline_s) == (
        "from-home",
        "from-folder",
        3.5,
    )
    assert settings.object_store_port == 8333


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"RAPT_HOME": "/a/b"}, "/a/b"),
        ({"XDG_DATA_HOME": "/data"}, "/data/rapt"),
        ({}, str(Path.home() / ".local/share/rapt")),
    ],
)
def test_home_follows_the_variables(variables: dict[str, str], expected: str, tmp_path: Path) -> None:
    assert load(variables, tmp_path).home == Path(expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("object_store_prot = 1", ["object_store_prot", "did you mean object_store_port"]),
        ("colour = 1", ["colour", "known are", "s3_bucket"]),
        ("object_store_port = 80", ["object_store_port = 80", "1024"]),
        ('object_store_port = "9000"', ["object_store_port", "expected `int`"]),
        ("s3_deadline_s = -1", ["s3_deadline_s = -1", ">= 0"]),
        ('s3_endpoint = "127.0.0.1:9000"', ["s3_endpoint", "http"]),
        ("home = 1", ["unknown setting home"]),
        ("not toml", ["is not TOML"]),
    ],
)
def test_a_bad_file_is_refused_by_file_key_and_value(text: str, words: list[str], home: Path) -> None:
    (home / "config.toml").write_text(text)
    with pytest.raises(InvalidSettings) as refused:
        load({"RAPT_HOME": str(home)}, home)
    for word in [str(home / "config.toml"), *words]:
        assert word in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("RAPT_OBJECT_STORE_PORT", "high", ["RAPT_OBJECT_STORE_PORT = 'high'", "int"]),
        ("RAPT_OBJECT_STORE_PORT", "70000", ["70000", "<= 65527"]),
        ("RAPT_S3_BUKET", "x", ["RAPT_S3_BUKET", "did you mean RAPT_S3_BUCKET"]),
    ],
)
def test_a_bad_variable_is_refused_by_name_and_value(name: str, value: str, words: list[str], home: Path) -> None:
    with pytest.raises(InvalidSettings) as refused:
        load({"RAPT_HOME": str(home), name: value}, home)
    for word in words:
        assert word in str(refused.value)


def test_the_environment_leads_to_the_embedded_store_with_private_credentials(home: Path) -> None:
    variables = {"RAPT_HOME": str(home), "RAPT_OBJECT_STORE_PORT": "9000"}
    environment = load(variables, home).environment()
    assert environment["RAPT_S3_ENDPOINT"] == "http://127.0.0.1:9000"
    assert len(environment["AWS_SECRET_ACCESS_KEY"]) >= 40
    assert (home / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert load({**variables, **environment}, home).embedded
    assert load({**variables, **environment}, home).environment() == environment


def test_an_s3_of_the_users_own_needs_the_users_own_credentials(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load({"RAPT_HOME": str(home), "RAPT_S3_ENDPOINT": "https://s3.example.org"}, home)
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY", raising=False)
    with pytest.raises(InvalidSettings, match="AWS_SECRET_ACCESS_KEY"):
        settings.environment()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    assert settings.environment()["AWS_SECRET_ACCESS_KEY"] == "mine"
    assert not (home / "credentials.json").exists()


def test_loose_permissions_of_the_credentials_are_tightened(home: Path) -> None:
    settings = load({"RAPT_HOME": str(home)}, home)
    before = settings.environment()
    settings.credentials_file.chmod(0o644)
    assert settings.environment() == before
    assert settings.credentials_file.stat().st_mode & 0o777 == 0o600


def test_damaged_credentials_are_named(home: Path) -> None:
    settings = load({"RAPT_HOME": str(home)}, home)
    settings.credentials_file.write_text("{}")
    with pytest.raises(InvalidSettings, match=r"credentials\.json"):
        settings.environment()

"""Where a setting comes from, and what is said when it is wrong."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from crdt_sync.limits import DEFAULT_LIMITS, Limits
from server.settings import (
    Settings,
    SettingsError,
    describe_settings,
    explain_settings,
    load_settings,
    variable_of,
)

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "settings.md"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.upper().startswith("CRDT_SYNC_")]:
        monkeypatch.delenv(variable)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "relay.toml"


def sources_of(settings: Settings) -> dict[str, str]:
    return {value.name: value.source for value in describe_settings(settings)}


def test_without_any_source_every_setting_is_its_default() -> None:
    settings = load_settings()
    assert settings.port == 1234
    assert settings.data_dir == Path("crdt-sync-data")
    assert settings.secret_path == Path("crdt-sync-data/secret.key")
    assert settings.limits == DEFAULT_LIMITS
    assert set(sources_of(settings).values()) == {"default"}


def test_an_argument_beats_the_environment_which_beats_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('port = 1\nhost = "a"\nlog_level = "error"\n[limits]\nclients_max = 5\nkey_bytes_max = 6\n')
    monkeypatch.setenv("CRDT_SYNC_PORT", "2")
    monkeypatch.setenv("CRDT_SYNC_HOST", "b")
    monkeypatch.setenv("CRDT_SYNC_LIMITS__CLIENTS_MAX", "7")
    settings = load_settings(config, port=3, host=None)
    assert (settings.port, settings.host, settings.log_level) == (3, "b", "error")
    assert settings.limits == Limits(clients_max=7, key_bytes_max=6)
    sources = sources_of(settings)
    assert sources["port"] == "argument port"
    assert sources["host"] == "environment variable CRDT_SYNC_HOST"
    assert sources["limits.clients_max"] == "environment variable CRDT_SYNC_LIMITS__CLIENTS_MAX"
    assert sources["limits.key_bytes_max"] == f"file {config}"
    assert sources["limits.name_bytes_max"] == "default"


def test_the_environment_names_the_file_unless_an_argument_does(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text("port = 1\n")
    other = tmp_path / "other.toml"
    other.write_text("port = 2\n")
    monkeypatch.setenv("CRDT_SYNC_CONFIG", str(config))
    assert load_settings().port == 1
    assert load_settings(other).port == 2


def test_lists_are_comma_separated_in_the_environment_and_lists_in_the_file(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.write_text('allowed_origins = ["https://a.example", "http://localhost:5173"]\n')
    monkeypatch.setenv("CRDT_SYNC_TENANTS", "acme, beta")
    settings = load_settings(config)
    assert settings.tenants == ("acme", "beta")
    assert settings.allowed_origins == ("https://a.example", "http://localhost:5173")


def test_settings_built_directly_read_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRDT_SYNC_PORT", "99")
    assert Settings().port == 1234


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        setattr(Settings(), "port", 1)  # noqa: B010  the type checker refuses the plain way, too


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("PORT", "abc", "port must be a valid integer, but environment variable CRDT_SYNC_PORT says abc"),
        ("PORT", "", "port must be a valid integer, but environment variable CRDT_SYNC_PORT says ''"),
        ("PORT", "65536", "port must be less than or equal to 65535, but .* says 65536"),
        ("LIVENESS_S", "16", "liveness_s must be less than or equal to 15, but .* says 16"),
        ("LIVENESS_S", "nan", "liveness_s must be a finite number, but .* says nan"),
        ("SHUTDOWN_TIMEOUT_S", "20", "shutdown_timeout_s must be less than 20, but .* says 20"),
        ("LOG_LEVEL", "loud", "log_level must be 'debug', 'info', 'warning' or 'error', but .* says loud"),
        ("DATA_DIR", "", "data_dir must not be empty, but .* says ''"),
        ("TENANTS", "acme,B!", "tenants must be tenant names .* but .* says acme,B!"),
        ("ALLOWED_ORIGINS", "shop.example", "allowed_origins must be origins as browsers send them"),
        ("ALLOWED_ORIGINS", "https://shop.example/", "allowed_origins must be origins as browsers send them"),
        ("ALLOWED_ORIGINS", "*", "allowed_origins must be origins as browsers send them"),
        ("PUBLIC_URL", "https://sync.shop.example/ws", "public_url must be a scheme and a host"),
        ("LIMITS__CLIENTS_MAX", "x", "limits.clients_max must be a valid integer, but .*CLIENTS_MAX says x"),
        ("LIMITS__FRAME_BYTES_MAX", "9", "limits: update_part_bytes_max must be at most half of frame_bytes_max"),
    ],
)
def test_a_wrong_value_is_named_with_its_setting_and_source(
    variable: str, value: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CRDT_SYNC_{variable}", value)
    with pytest.raises(SettingsError, match=f"^{sentence}") as caught:
        load_settings()
    assert "\n" not in str(caught.value)
    assert caught.value.source == f"environment variable CRDT_SYNC_{variable}"


@pytest.mark.parametrize("variable", ["CRDT_SYNC_PROT", "CRDT_SYNC_LIMITS", "CRDT_SYNC_LIMITS__NO", "crdt_sync_port"])
def test_an_unknown_variable_is_refused_without_showing_its_value(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "hunter2")
    with pytest.raises(SettingsError, match=f"environment variable {variable} is no setting") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


def test_the_variable_that_names_real_test_data_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRDT_SYNC_DATA", "somewhere")
    assert load_settings() == Settings()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("prot = 1", "prot in file .* is no setting of the relay"),
        ("[limits]\nno = 1", "limits.no in file .* is no setting of the relay"),
        ("limits = 3", r"limits must be a table \[limits\] in file "),
        ("port = true", "port must not be a boolean, but file .* says True"),
        ("port = 'x'", "port must be a valid integer, but file .*relay.toml says x"),
        ("port = ", "file .*relay.toml is no TOML"),
        ("[tenants]\na = 1", "tenants must be a valid tuple, but file "),
    ],
)
def test_a_wrong_file_is_named_with_what_is_wrong(text: str, sentence: str, config: Path) -> None:
    config.write_text(text)
    with pytest.raises(SettingsError, match=f"^{sentence}"):
        load_settings(config)


def test_a_missing_file_is_an_error(config: Path) -> None:
    with pytest.raises(SettingsError, match="can't be read: No such file"):
        load_settings(config)


def test_a_file_that_is_no_text_is_an_error(config: Path) -> None:
    config.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="is no TOML"):
        load_settings(config)


def test_an_empty_name_of_the_file_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRDT_SYNC_CONFIG", "")
    with pytest.raises(SettingsError, match="CRDT_SYNC_CONFIG must name a file"):
        load_settings()


def test_an_unknown_argument_is_an_error() -> None:
    with pytest.raises(SettingsError, match="prot in the arguments"):
        load_settings(prot=1)


def test_two_settings_that_contradict_each_other_are_both_named_with_value_and_source() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(slow_member_timeout_s=16)
    assert str(caught.value) == (
        "slow_member_timeout_s must be at most shutdown_timeout_s, or a stuck member would outlive a stop: "
        "slow_member_timeout_s is 16 (argument slow_member_timeout_s), shutdown_timeout_s is 15.0 (default)"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"handshake_timeout_s": 19, "slow_member_timeout_s": 1},
        {"compact_log_bytes_min": DEFAULT_LIMITS.document_bytes_max + 1},
    ],
)
def test_contradictions_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="must be at most"):
        load_settings(**arguments)


def test_a_password_in_an_origin_is_not_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(allowed_origins="https://user:hunter2@shop.example")
    assert "hunter2" not in str(caught.value)


def test_limits_may_be_given_as_an_object() -> None:
    limits = Limits(clients_max=3)
    assert load_settings(limits=limits).limits == limits


def test_every_setting_is_explained_and_has_its_own_variable() -> None:
    docs = explain_settings()
    assert all(doc.doc.endswith(".") and len(doc.doc) > 10 for doc in docs), [doc for doc in docs if not doc.doc]
    assert len({doc.env for doc in docs}) == len(docs) == len(describe_settings(Settings()))
    assert all(doc.env == variable_of(doc.name) for doc in docs)


def test_every_explained_variable_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = {value.name: value.value for value in describe_settings(Settings())}
    for doc in explain_settings():
        monkeypatch.setenv(doc.env, "" if doc.type == "list" else defaults[doc.name].replace("unset", "http://here"))
    described = describe_settings(load_settings())
    assert {value.source.split()[0] for value in described} == {"environment"}


def test_the_reference_page_lists_every_setting_as_it_is() -> None:
    rows = re.findall(
        r"^\| `([^`]+)` \| `([^`]+)` \| ([^|]+) \| `([^`]*)` \| (.+) \|$", REFERENCE.read_text(), re.MULTILINE
    )
    docs = [(doc.name, doc.env, doc.type, doc.default, doc.doc) for doc in explain_settings()]
    missing = [f"| `{name}` | `{env}` | {kind} | `{default}` | {doc} |" for name, env, kind, default, doc in docs]
    assert rows == docs, "the tables must consist of these lines:\n" + "\n".join(missing)

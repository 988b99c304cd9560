"""Every command over real files: what it prints, how it refuses, and with which exit code."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path

import pytest

from crdt_sync.errors import NotSynced
from crdt_sync.peer import OfflinePeer
from tests.integration.relay_process import RelayProcess, run_command

PERIOD = "2026-11"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a stopped relay that has served two tenants."""
    return asyncio.run(fill(tmp_path_factory.mktemp("filled")))


async def fill(folder: Path) -> Path:
    async with RelayProcess(folder, free_space_bytes_min=0) as relay:
        for tenant in ("acme", "globex"):
            async with OfflinePeer.open(
                folder / f"{tenant}.db", tenant=tenant, name="till", relay=relay.ws, token=relay.token(tenant)
            ) as peer:
                async with peer.edit(period=PERIOD) as docs:
                    docs.inventory.add_product("Söckchen 🧦", price=450)
                    docs.inventory.add_location("shop")
                    docs.inventory.receive("Söckchen 🧦", 10, at="shop")
                await peer.sync()
        assert await relay.stop() == 0
        return relay.data


def refused(*arguments: str, code: int, saying: str, **settings: object) -> None:
    """The command ends with ``code`` and one sentence on standard error, and says nothing else."""
    done = run_command(*arguments, **settings)
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert saying in done.stderr
    assert "Traceback" not in done.stderr


def test_token_prints_a_token_and_nothing_else(tmp_path: Path) -> None:
    done = run_command("token", "--data", str(tmp_path / "new"), "--tenant", "acme", "--role", "viewer", "--ttl", "90s")
    assert (done.returncode, done.stderr) == (0, "")
    header, claims, signature = done.stdout.removesuffix("\n").split(".")
    assert all((header, claims, signature))
    assert (tmp_path / "new" / "secret.key").stat().st_mode & 0o077 == 0


async def test_a_token_of_the_command_line_opens_the_relay(tmp_path: Path) -> None:
    done = run_command(
        "token", "--data", str(tmp_path / "data"), "--tenant", "acme", "--role", "operator", "--document", "inventory/*"
    )
    async with (
        RelayProcess(tmp_path, free_space_bytes_min=0) as relay,
        OfflinePeer.open(
            tmp_path / "till.db", tenant="acme", name="till", relay=relay.ws, token=done.stdout.strip()
        ) as till,
    ):
        async with till.edit() as docs:
            docs.inventory.add_product("tea")
        await till.sync()


@pytest.mark.parametrize(
    ("arguments", "saying"),
    [
        (["--tenant", "ACME", "--role", "viewer"], "'ACME' is no tenant"),
        (["--tenant", "acme", "--role", "king"], "king"),
        (["--tenant", "acme", "--role", "viewer", "--ttl", "soon"], "'soon' is no time such as 90s"),
        (["--tenant", "acme", "--role", "viewer", "--ttl", "9d"], "86400"),
        (["--tenant", "acme", "--role", "viewer", "--document", "../x"], "../x"),
        (["--tenant", "acme", "--role", "admin", "--subject", "relay"], "the subject 'relay' is the relay's own"),
        (["--role", "viewer"], "--tenant"),
    ],
)
def test_token_refuses_what_it_can_not_sign(tmp_path: Path, arguments: list[str], saying: str) -> None:
    done = run_command("token", "--data", str(tmp_path), *arguments)
    assert done.returncode in {1, 2}
    assert done.stdout == ""
    assert saying in done.stderr
    assert "Traceback" not in done.stderr


def test_rooms_lists_documents_with_their_sizes(filled: Path) -> None:
    done = run_command("rooms", "--data", str(filled), "--plain")
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == [
        f"{tenant}/inventory/{name}" for tenant in ("acme", "globex") for name in (PERIOD, "catalog")
    ]
    assert all(int(row[1]) >= 1 and int(row[3]) > 0 for row in rows)
    table = run_command("rooms", "--data", str(filled), "--tenant", "acme").stdout.splitlines()
    assert table[0].split() == ["document", "updates", "in", "log", "log", "bytes", "snapshot", "bytes"]
    assert len(table) == 3


def test_inspect_prints_a_document_as_json(filled: Path) -> None:
    done = run_command("inspect", "acme/inventory/catalog", "--data", str(filled))
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert "Söckchen 🧦" not in shown
    text = json.dumps(shown, ensure_ascii=False)
    assert '"active"' in text
    assert "450" in text
    assert PERIOD in text


def test_verify_says_that_all_is_well(filled: Path) -> None:
    done = run_command("verify", "--data", str(filled))
    assert done.returncode == 0, done.stderr
    assert "4 documents, 0 damaged" in done.stdout
    assert done.stdout.count("ok       ") == 4


def test_commands_name_what_they_do_not_find(filled: Path, tmp_path: Path) -> None:
    refused("inspect", "acme/nothing", "--data", str(filled), code=2, saying="has no document nothing")
    refused("inspect", "nobody/x", "--data", str(filled), code=2, saying="has no tenant nobody")
    refused("inspect", "NOT/a name", "--data", str(filled), code=1, saying="'NOT' is no tenant")
    refused("verify", "--tenant", "nobody", "--data", str(filled), code=2, saying="has no tenant nobody")
    for command in ("rooms", "verify"):
        refused(command, "--data", str(tmp_path / "none"), code=2, saying="is not there")


async def test_commands_refuse_data_that_a_relay_holds(tmp_path: Path) -> None:
    async with RelayProcess(tmp_path, free_space_bytes_min=0) as relay:
        async with OfflinePeer.open(
            tmp_path / "till.db", tenant="acme", name="till", relay=relay.ws, token=relay.token()
        ) as till:
            async with till.edit() as docs:
                docs.inventory.add_product("tea")
            await till.sync()
        held = "is held by another opener"
        refused("rooms", "--data", str(relay.data), code=1, saying=held)
        refused("inspect", "acme/inventory/catalog", "--data", str(relay.data), code=1, saying=held)
        refused("verify", "--data", str(relay.data), code=1, saying=held)
        second = RelayProcess(tmp_path / "second", data=relay.data, free_space_bytes_min=0)
        async with second:
            async with OfflinePeer.open(
                tmp_path / "till.db", tenant="acme", name="till", relay=second.ws, token=relay.token()
            ) as till:
                with pytest.raises(NotSynced, match=held):
                    await till.sync()
            status, body = await second.readiness()
            assert status == 503
            assert held in body["reasons"]["tenant acme"]


@pytest.mark.parametrize(
    ("settings", "saying"),
    [
        (
            {"port": 70_000},
            "port must be less than or equal to 65535, but environment variable CRDT_SYNC_PORT says 70000",
        ),
        ({"liveness_s": "often"}, "CRDT_SYNC_LIVENESS_S says often"),
        ({"prot": 1}, "environment variable CRDT_SYNC_PROT is no setting of the relay"),
        ({"handshake_timeout_s": 19}, "handshake_timeout_s must be at most shutdown_timeout_s"),
        ({"limits.frame_bytes_max": 1_000}, "limits: update_part_bytes_max must be at most half of frame_bytes_max"),
        ({"jwks_file": "/nowhere/keys.json"}, "/nowhere/keys.json"),
        ({"config": "/nowhere/relay.toml"}, "file /nowhere/relay.toml can't be read: No such file or directory"),
        ({"allowed_origins": "shop.example"}, "must be origins as browsers send them"),
    ],
)
def test_a_wrong_setting_keeps_serve_and_check_config_from_starting(
    tmp_path: Path, settings: dict[str, object], saying: str
) -> None:
    for command in ("serve", "check-config"):
        refused(command, "--data", str(tmp_path / "data"), code=2, saying=saying, **settings)


def test_a_secret_that_is_too_short_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("c2hvcnQ=\n")
    os.chmod(tmp_path / "secret.key", 0o600)
    for command in ("serve", "check-config"):
        refused(command, "--data", str(tmp_path), code=2, saying=str(tmp_path / "secret.key"))


def test_a_port_in_use_is_said_to_be_so(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(
            "serve", "--port", str(port), "--data", str(tmp_path), code=2, saying=f"can't listen on 127.0.0.1:{port}: "
        )


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run_command("serve", "--port", "0", "--data", str(tmp_path / "file"))
    assert done.returncode in {1, 2}
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_check_config_names_every_setting_with_its_source(tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text("port = 4321\n[limits]\nclients_max = 77\n")
    done = run_command("check-config", "--config", str(tmp_path / "relay.toml"), liveness_s=5)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert lines["port"].endswith(f"4321  (file {tmp_path / 'relay.toml'})")
    assert lines["limits.clients_max"].endswith(f"77  (file {tmp_path / 'relay.toml'})")
    assert lines["liveness_s"].endswith("(environment variable CRDT_SYNC_LIVENESS_S)")
    assert lines["host"].endswith("127.0.0.1  (default)")


def test_help_lists_the_commands_and_no_command_is_an_error() -> None:
    shown = run_command("--help")
    assert shown.returncode == 0
    for command in ("serve", "token", "check-config", "rooms", "inspect", "verify"):
        assert command in shown.stdout
    assert run_command("nonsense").returncode == 2


def test_quality_scores_every_document_and_can_fail_a_build(filled: Path) -> None:
    where = ("quality", "acme", "--data", str(filled))
    done = run_command(*where)
    assert (done.returncode, done.stderr) == (0, "")
    assert "inventory/catalog  completeness 0.500, validity 1.000, consistency 1.000" in done.stdout
    assert "product Söckchen 🧦, name: None, expected a value" in done.stdout
    assert run_command(*where, "--at-least", "0.99").returncode == 1
    report = json.loads(run_command(*where, "--json").stdout)
    assert [document["document"] for document in report["documents"]][:2] == ["inventory/catalog", "inventory"]
    assert report["documents"][1]["score"] == 1.0

"""Every refusal is on record (P31): what a real relay refuses stands in the audit log, and no credential with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from crdt_sync.protocol.messages import Authenticate, NewUpdate, StateReply, StateRequest
from server.storage.audit import RELAY_LOG, audit_file, audits_on_disk, read_audit
from server.storage.backups import audit_copy
from tests.integration.http_requests import ask
from tests.integration.raw_member import Author, open_raw
from tests.integration.raw_provider import open_provider
from tests.integration.relay_process import DEADLINE_S, RelayProcess, eventually, run_command

SHOP = "https://shop.example"
Event = dict[str, Any]


@pytest.fixture
async def relay(tmp_path: Path) -> AsyncIterator[RelayProcess]:
    async with RelayProcess(
        tmp_path / "relay", free_space_bytes_min=0, handshake_timeout_s=0.5, allowed_origins=SHOP, log_level="debug"
    ) as process:
        yield process


async def events(relay: RelayProcess, tenant: str | None, holds: Callable[[list[Event]], bool]) -> list[Event]:
    """What the command shows while the relay runs, once it holds."""

    async def look() -> list[Event]:
        chosen = [] if tenant is None else ["--tenant", tenant]
        done = await relay.run_command("audit", "--json", *chosen)
        return [json.loads(line) for line in done.stdout.splitlines()]

    return await eventually(look, holds, what="the audit log")


async def knock(relay: RelayProcess, path: str, token: str | None, **options: Any) -> int:
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        async with connect(relay.ws + path, additional_headers=headers, open_timeout=DEADLINE_S, **options):
            return 101
    except InvalidStatus as error:
        return error.response.status_code


async def test_P31_who_is_refused_at_the_door_is_on_record(relay: RelayProcess) -> None:
    async with open_raw(relay, "notes") as member:
        await member.join()
    good, forged = relay.token(subject="ada"), relay.token()[:-6] + "AAAAAA"
    assert await knock(relay, "/ws/acme/notes", None) == 401
    assert await knock(relay, "/ws/acme/notes", forged) == 401
    assert await knock(relay, "/ws/globex/notes", good) == 403
    assert await knock(relay, "/ws/acme/pii/x", relay.token(subject="bob", documents=["notes"])) == 403
    assert await knock(relay, "/ws/acme/notes", good, origin="https://evil.example") == 403
    assert await knock(relay, "/ws/acme/BAD", good) == 404
    assert (await ask(relay, "POST", "/api/v1/documents/retire", good, {"document": "notes", "why": "x"}))[0] == 403
    assert (await ask(relay, "POST", "/doc/secret/auth", relay.token(subject="cy", documents=["a"]), {}))[0] == 403
    known = await events(relay, "acme", lambda found: len(found) >= 5)
    shown = {(event["kind"], event["code"], event["subject"], event["document"]) for event in known}
    assert shown == {
        ("refused", "forbidden", "ada", "notes"),
        ("refused", "forbidden", "bob", "pii/x"),
        ("refused", "invalid-name", "ada", "BAD"),
        ("refused", "forbidden", "ada", ""),
        ("refused", "forbidden", "cy", "secret"),
    }
    assert {event["address"] for event in known} == {"127.0.0.1"}
    strangers = await events(relay, None, lambda found: len(found) >= 2)
    codes = [(event["code"], event["tenant"]) for event in strangers]
    assert codes.count(("unauthenticated", None)) == 1, "two refusals of one kind from one address are one row"
    assert ("forbidden", None) in codes
    everything = json.dumps([*known, *strangers])
    for secret in (good, forged, good.rpartition(".")[2]):
        assert secret not in everything


async def test_P31_who_is_refused_within_a_connection_is_on_record(relay: RelayProcess) -> None:
    viewer, writer = relay.token(role="viewer", subject="vera"), relay.token(subject="wim")
    async with open_raw(relay, "notes", token=viewer) as member:
        await member.join()
        await member.say(NewUpdate(Author().put("may", "not")))
        await events(relay, "acme", lambda found: [event["subject"] for event in found] == ["vera"])
    async with open_raw(relay, "notes", token=writer) as member:
        await member.join()
        await member.send(b"\x00\x02\x05rubbish")
        assert (await member.closed())[0] == 4400
    async with open_raw(relay, "notes", token=relay.token(subject="mute")) as member:
        assert (await member.closed())[0] == 4408
    async with open_raw(relay, "other", token=relay.token(subject="pia", documents=["notes"]), is_peer=True) as member:
        await member.say(StateRequest({}))
        await member.hears(lambda: bool(member.heard))
    async with open_provider(relay, origin=SHOP) as provider:
        await provider.say("notes", Authenticate("no.token.atall"))
        await provider.hears(lambda: bool(provider.about("notes")))
    found = await events(relay, "acme", lambda found: len(found) >= 4)
    shown = [(event["kind"], event["code"], event["subject"], event["document"]) for event in found]
    assert shown == [
        ("refused", "forbidden", "vera", "notes"),
        ("refused", "malformed-message", "wim", "notes"),
        ("refused", "handshake-timeout", "mute", "notes"),
        ("refused", "forbidden", "pia", "other"),
    ]
    [stranger] = await events(relay, None, lambda found: len(found) == 1)
    assert (stranger["code"], stranger["document"], stranger["tenant"]) == ("unauthenticated", "notes", None)


async def test_P31_who_is_expelled_is_on_record_with_where_it_came_from(relay: RelayProcess) -> None:
    async with open_raw(relay, "notes", token=relay.token(subject="mallory")) as member:
        await member.join()
        first, forked = Author(7), Author(7)
        await member.say(StateReply(first.put("a", 1)))
        await member.say(NewUpdate(forked.put("a", 2)))
        await member.closed()
    [event] = await events(relay, "acme", lambda found: bool(found))
    assert (event["kind"], event["subject"], event["document"]) == ("expelled", "mallory", "notes")
    assert (event["code"], event["address"]) == ("client-id-reused", "127.0.0.1")


async def test_P31_orders_are_on_record_once_whether_the_relay_runs_or_not(relay: RelayProcess) -> None:
    async with open_raw(relay, "notes") as member:
        await member.join()
    admin = relay.token(role="admin", subject="root")
    made = await relay.run_command(
        "api-key", "create", "--tenant", "acme", "--role", "viewer", "--subject", "billing", "--ttl", "1d"
    )
    key = made.stdout.strip()
    await relay.run_command("api-key", "revoke", key.split("_")[1])
    await ask(relay, "POST", "/api/v1/tokens/revoke", admin, {"user": "shop"})
    await ask(relay, "POST", "/api/v1/documents/retire", admin, {"document": "notes", "why": "done with"})
    found = await events(relay, "acme", lambda found: len(found) >= 4)
    assert [event["kind"] for event in found] == ["key-made", "key-revoked", "revoked", "retired"]
    assert "by root" in found[2]["sentence"]
    assert key.split("_", 2)[2] not in json.dumps(found)
    assert await relay.stop() == 0
    await relay.run_command("token", "revoke", "--tenant", "acme", "--user", "ada")
    await relay.start()
    found = await events(relay, "acme", lambda found: len(found) >= 5)
    assert [event["subject"] for event in found[4:]] == ["ada"]


async def test_P31_a_flood_of_refusals_stays_small_and_is_counted(relay: RelayProcess) -> None:
    async with open_raw(relay, "notes") as member:
        await member.join()
    token = relay.token(subject="ada", documents=["notes"])
    for number in range(100):
        assert await knock(relay, f"/ws/acme/d{number}", token) == 403
        assert await knock(relay, f"/ws/acme/{'ab'[number % 2]}", token) == 403
    assert await relay.stop() == 0
    found = await read_audit(relay.data, "acme")
    assert sum(event.count for event in found) == 200
    assert len(found) < 70
    assert [event.kind for event in found].count("held-back") == 1


async def test_no_file_is_made_for_a_tenant_that_is_not_there(relay: RelayProcess) -> None:
    for number in range(5):
        await knock(relay, f"/ws/nobody{number}/notes", relay.token(f"nobody{number}", documents=["x"]))
    assert await relay.stop() == 0
    assert audits_on_disk(relay.data) == [RELAY_LOG]
    assert {event.tenant for event in await read_audit(relay.data, RELAY_LOG)} == {f"nobody{n}" for n in range(5)}


async def test_an_admin_reads_the_record_over_http(relay: RelayProcess) -> None:
    async with open_raw(relay, "notes") as member:
        await member.join()
    admin = relay.token(role="admin", subject="root")
    assert await knock(relay, "/ws/acme/x", relay.token(subject="ada", documents=["notes"])) == 403
    await ask(relay, "POST", "/api/v1/tokens/revoke", admin, {"user": "shop"})

    async def read(query: str = "") -> tuple[int, dict[str, Any]]:
        return await ask(relay, "GET", f"/api/v1/audit{query}", admin)

    async def shown() -> list[str]:
        return [event["kind"] for event in (await read())[1]["events"]]

    await eventually(shown, lambda kinds: kinds == ["refused", "revoked"])
    for query, kinds in (
        ("?kind=refused", ["refused"]),
        ("?limit=1", ["revoked"]),
        ("?kind=refused&kind=revoked", ["refused", "revoked"]),
        ("?since=2099-01-01T00:00:00Z", []),
    ):
        assert [event["kind"] for event in (await read(query))[1]["events"]] == kinds, query
    for query in ("?kind=x", "?limit=0", "?limit=x", "?limit=1001", "?since=now", "?more=1"):
        assert (await read(query))[0] == 400, query
    other = relay.token("globex", role="admin")
    assert (await ask(relay, "GET", "/api/v1/audit", other))[1] == {"events": []}


async def test_the_audit_log_is_shown_as_a_table_that_no_client_can_disturb(relay: RelayProcess) -> None:
    async with open_raw(relay, "notes") as member:
        await member.join()
    assert await knock(relay, "/ws/acme/%1b%5b2Jx", relay.token(subject="ada")) == 404
    await events(relay, "acme", lambda found: len(found) == 1)
    table = (await relay.run_command("audit", "--tenant", "acme", "--kind", "refused")).stdout
    assert "?[2Jx" in table
    assert "\x1b" not in table
    for options in (["--tenant", "nobody"], ["--kind", "x"], ["--since", "x"]):
        assert (await relay.run_command("audit", *options)).returncode == 2


async def test_verify_finds_an_event_that_was_changed(relay: RelayProcess) -> None:
    async with open_raw(relay, "notes") as member:
        await member.join()
    assert await knock(relay, "/ws/acme/x", relay.token(subject="mallory", documents=["notes"])) == 403
    assert await relay.stop() == 0
    whole = await relay.run_command("verify")
    assert whole.returncode == 0, whole.stdout
    assert " (audit log): 1 events" in whole.stdout
    path = audit_file(relay.data, "acme")
    path.write_bytes(path.read_bytes().replace(b"mallory", b"someone"))
    damaged = await relay.run_command("verify", "--tenant", "acme")
    assert damaged.returncode == 1
    assert "DAMAGED  acme/" in damaged.stdout
    assert "(audit log)" in damaged.stdout


async def test_a_backup_holds_the_record_and_a_restore_brings_it_back(relay: RelayProcess, tmp_path: Path) -> None:
    async with open_raw(relay, "notes") as member:
        await member.join()
        await member.save(Author().put("a", 1))
    assert await knock(relay, "/ws/acme/x", relay.token(subject="ada", documents=["notes"])) == 403
    assert await knock(relay, "/ws/acme/x", None) == 401
    await events(relay, "acme", lambda found: len(found) == 1)
    await events(relay, None, lambda found: len(found) == 1)
    folder, again = tmp_path / "backup", tmp_path / "again"
    made = await relay.run_command("backup", "--all", str(folder))
    assert made.returncode == 0, made.stdout + made.stderr
    before = {name: list(await read_audit(relay.data, name)) for name in ("acme", RELAY_LOG)}
    restore = ["restore", str(folder), "--data", str(again)]
    put_back = await asyncio.to_thread(run_command, *restore)
    assert put_back.returncode == 0, put_back.stderr
    assert {name: list(await read_audit(again, name)) for name in ("acme", RELAY_LOG)} == before
    # A later record is never replaced by an older one.
    for path in (again / "tenants").glob("acme*"):
        path.unlink()
    put_back = await asyncio.to_thread(run_command, *restore)
    assert "the audit log of acme is there already" in put_back.stdout
    copy = folder / audit_copy("acme")
    copy.write_bytes(copy.read_bytes().replace(b"ada", b"bob"))
    damaged = await asyncio.to_thread(run_command, "restore", str(folder), "--data", str(tmp_path / "third"))
    assert (damaged.returncode, "is not the file that was backed up" in damaged.stderr) == (1, True)

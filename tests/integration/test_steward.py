"""The relay's steward in a process of its own: it does its duties, dies, comes back, and ends with its relay."""

from __future__ import annotations

import os
import signal
import time
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from pycrdt import Doc, Map

from crdt_sync.documents.inventory import InventoryDocument
from crdt_sync.errors import Unauthenticated
from crdt_sync.peer import OfflinePeer
from crdt_sync.peer.renewal import ends_at_s
from server.auth.keys import load_secret
from tests.integration.raw_member import open_raw
from tests.integration.relay_process import eventually
from tests.integration.stewards import (
    LINUX,
    becomes,
    decisions,
    is_gone,
    open_shop,
    relay_with_steward,
    set_prices_at_once,
    steward_at_work,
    stewards_of,
    till,
)
from tests.unit.server.tokens import CLAIMS, signed


async def test_a_conflict_closes_by_itself_where_there_is_a_rule_for_its_field(tmp_path: Path) -> None:
    async with (
        relay_with_steward(tmp_path) as relay,
        till(relay, tmp_path, "till-1") as one,
        till(relay, tmp_path, "till-2") as two,
    ):
        await open_shop(one)
        await two.sync()
        await set_prices_at_once(one, two, (475, 500))
        async with one.online(), two.online():
            for peer in (one, two):
                assert await becomes(peer, decisions, bool) == [("auto", "relay", 500)]
                async with peer.read() as docs:
                    assert docs.inventory.conflicts() == []
                    assert docs.inventory.attribute("tea", "price") == 500


async def test_an_oversell_is_put_on_record_once_and_so_is_that_it_never_was_one(tmp_path: Path) -> None:
    async with (
        relay_with_steward(tmp_path) as relay,
        till(relay, tmp_path, "till-1") as one,
        till(relay, tmp_path, "till-2") as two,
        till(relay, tmp_path, "store") as store,
    ):
        await open_shop(one)
        await two.sync()
        await store.sync()
        async with store.edit() as docs:
            docs.inventory.receive("tea", 5, at="shop")
        for peer in (one, two):
            async with peer.edit() as docs:
                docs.inventory.sell("tea", 3, at="shop")
        async with one.online(), two.online():
            (incident,) = await becomes(one, InventoryDocument.incidents, bool)
            assert (incident.sort, incident.sku, incident.location, incident.units) == ("oversold", "tea", "shop", -2)
            assert incident.dissolved is None
            # What had come in before the sales is heard of last.
            await store.sync()
            (mended,) = await becomes(one, InventoryDocument.incidents, lambda found: found[0].dissolved is not None)
            assert mended.key == incident.key


async def test_a_round_over_documents_that_need_nothing_writes_nothing(tmp_path: Path) -> None:
    async with relay_with_steward(tmp_path) as relay, till(relay, tmp_path, "till-1") as one:
        await open_shop(one)

        async def rounds() -> float:
            return await relay.meter("steward_rounds_total")

        async with one.online():
            await one.settled()
            before = await eventually(rounds, lambda count: count >= 1)
            stored = await relay.meter("updates_stored_total")
            for price in (460, 470, 480):
                async with one.edit() as docs:
                    docs.inventory.set_attribute("tea", "price", price)
                await one.settled()
                before = await eventually(rounds, lambda count, before=before: count > before)  # type: ignore[misc]
            assert await relay.meter("updates_stored_total") == stored + 3
            assert await relay.meter("steward_deaths_total") == 0


@LINUX
async def test_a_steward_that_was_killed_comes_back_and_goes_on(tmp_path: Path) -> None:
    async with (
        relay_with_steward(tmp_path) as relay,
        till(relay, tmp_path, "till-1") as one,
        till(relay, tmp_path, "till-2") as two,
    ):
        await open_shop(one)
        await two.sync()
        killed = await steward_at_work(relay)
        os.kill(killed, signal.SIGKILL)
        await set_prices_at_once(one, two, (475, 500))
        async with one.online(), two.online():
            assert await becomes(two, decisions, bool) == [("auto", "relay", 500)]
        assert await steward_at_work(relay, besides=killed) != killed
        assert await relay.meter("steward_deaths_total") == 1
        assert "steward died" in relay.log
        assert "SIGKILL" in relay.log


@LINUX
async def test_a_relay_without_its_steward_is_ready_and_says_so(tmp_path: Path) -> None:
    async with relay_with_steward(tmp_path) as relay:
        os.kill(await steward_at_work(relay), signal.SIGKILL)

        async def readiness() -> tuple[int, dict[str, object]]:
            return await relay.readiness()

        status, body = await eventually(readiness, lambda seen: str(seen[1]["steward"]).startswith("down: "))
        assert (status, body["status"]) == (200, "ready")
        assert body["steward"] == "down: it was ended by signal SIGKILL"


@LINUX
async def test_no_steward_outlives_a_relay_that_was_killed(tmp_path: Path) -> None:
    async with relay_with_steward(tmp_path) as relay, till(relay, tmp_path, "till-1") as one:
        await open_shop(one)
        pid = await steward_at_work(relay)
        await relay.kill()
        await is_gone(pid)


@LINUX
async def test_a_stop_ends_the_steward_and_nothing_of_any_document_is_left_beside_the_relays_own(
    tmp_path: Path,
) -> None:
    async with (
        relay_with_steward(tmp_path) as relay,
        till(relay, tmp_path, "till-1") as one,
        till(relay, tmp_path, "till-2") as two,
    ):
        await open_shop(one)
        await two.sync()
        await set_prices_at_once(one, two, (475, 500))
        async with one.online(), two.online():
            await becomes(two, decisions, bool)
            assert list((relay.data / "steward").rglob("*.db"))
        pid = await steward_at_work(relay)
        assert await relay.stop() == 0
        await is_gone(pid)
        assert "Traceback" not in relay.log
        assert list((relay.data / "steward").rglob("*")) == []


@LINUX
async def test_a_steward_takes_nothing_from_what_another_one_left_and_keeps_none_of_it(tmp_path: Path) -> None:
    async with (
        relay_with_steward(tmp_path) as relay,
        till(relay, tmp_path, "till-1") as one,
        till(relay, tmp_path, "till-2") as two,
    ):
        await open_shop(one)
        await two.sync()
        await set_prices_at_once(one, two, (475, 500))
        async with one.online(), two.online():
            await becomes(two, decisions, bool)
        pid = await steward_at_work(relay)
        await relay.kill()
        await is_gone(pid)
        (left,) = (relay.data / "steward").rglob("*.db")
        left.write_bytes(b"nothing that SQLite knows" * 1_000)
        other = relay.data / "steward" / "globex"
        other.mkdir()
        (other / "documents.db").write_bytes(b"of a tenant that nobody uses")
        await relay.start()
        await set_prices_at_once(one, two, (525, 510))
        async with one.online(), two.online():
            found = await becomes(two, decisions, lambda made: len(made) == 2)
        assert {value for _, _, value in found} == {500, 525}
        assert not other.exists()
        assert await relay.meter('steward_failures_total{duty="peer"}') == 0


@LINUX
async def test_P6_the_serving_process_loads_no_document_while_its_steward_does(tmp_path: Path) -> None:
    async with (
        relay_with_steward(tmp_path) as relay,
        till(relay, tmp_path, "till-1") as one,
        till(relay, tmp_path, "till-2") as two,
    ):
        await open_shop(one)
        await two.sync()
        await set_prices_at_once(one, two, (475, 500))
        async with one.online(), two.online():
            await becomes(one, decisions, bool)
        assert "pycrdt" in Path(f"/proc/{await steward_at_work(relay)}/maps").read_text()
        assert "pycrdt" not in Path(f"/proc/{relay.pid}/maps").read_text()


async def test_a_tenant_that_nobody_uses_any_more_is_let_go_and_taken_up_again(tmp_path: Path) -> None:
    async with relay_with_steward(tmp_path, room_idle_s=0.2) as relay:

        async def rooms() -> float:
            return await relay.meter("rooms")

        async def rounds() -> float:
            return await relay.meter("steward_rounds_total")

        async with till(relay, tmp_path, "till-1") as one:
            await open_shop(one)
            seen = await eventually(rounds, lambda count: count >= 1)
            await eventually(rooms, lambda count: count == 0, what="the end of every room")
            await one.sync()
            await eventually(rounds, lambda count: count > seen)


async def test_documents_without_duties_are_left_alone(tmp_path: Path) -> None:
    doc: Doc[Map] = Doc()
    doc.get("notes", type=Map)["k"] = 1
    async with relay_with_steward(tmp_path) as relay, open_raw(relay, "notes/today", is_peer=True) as member:
        await member.join()
        await member.save(doc.get_update())
        await steward_at_work(relay)
        assert await relay.meter("connections") == 1


async def test_a_duty_that_fails_is_counted_and_stops_neither_the_others_nor_the_steward(tmp_path: Path) -> None:
    page: Doc[Map] = Doc()
    page.get("meta", type=Map)["minWriter"] = 99
    async with (
        relay_with_steward(tmp_path) as relay,
        till(relay, tmp_path, "till-1") as one,
        till(relay, tmp_path, "till-2") as two,
    ):
        await open_shop(one)
        await two.sync()
        await set_prices_at_once(one, two, (475, 500))
        for peer in (one, two):
            async with peer.edit() as docs:
                docs.inventory.sell("tea", 3, at="shop")
        # A later version has been here, and lets nobody write who does not know what it knows.
        async with open_raw(relay, "inventory/catalog", is_peer=True) as member:
            await member.join()
            await member.save(page.get_update())
        await one.sync()
        await two.sync()
        for duty in ("settle-conflicts", "note-incidents"):

            async def failures(duty: str = duty) -> float:
                return await relay.meter(f'steward_failures_total{{duty="{duty}"}}')

            await eventually(failures, lambda count: count >= 1, what=duty)
        assert await relay.meter("steward_deaths_total") == 0
        assert "schema-too-new" in relay.log


async def test_nobody_but_the_steward_comes_in_as_the_relay(tmp_path: Path) -> None:
    async with relay_with_steward(tmp_path, token_ttl_max_s=2_000_000_000) as relay:
        secret = load_secret(relay.data / "secret.key")
        forged = signed({**CLAIMS, "sub": "relay", "iat": 1_700_000_000, "exp": 3_000_000_000}, secret=secret)
        path = tmp_path / "till.db"
        async with OfflinePeer.open(path, tenant="acme", name="till", relay=relay.ws, token=forged) as peer:
            with pytest.raises(Unauthenticated, match="the subject 'relay' is the relay's own"):
                await peer.sync()


async def test_a_steward_outlives_its_tokens(tmp_path: Path) -> None:
    async with relay_with_steward(tmp_path, token_ttl_max_s=4) as relay:

        def token() -> str:
            return relay.token(ttl_s=4)

        def opened(name: str) -> AbstractAsyncContextManager[OfflinePeer]:
            return OfflinePeer.open(tmp_path / f"{name}.db", tenant="acme", name=name, relay=relay.ws, token=token)

        async with opened("till-1") as one, opened("till-2") as two:
            await open_shop(one)
            await two.sync()
            # Issued after all that the steward has shown so far.
            latest = ends_at_s(token())

            async def all_are_over() -> bool:
                return latest is not None and time.time() > latest

            await eventually(all_are_over, bool)
            await set_prices_at_once(one, two, (475, 500))
            async with one.online(), two.online():
                assert await becomes(two, decisions, bool) == [("auto", "relay", 500)]
        # It has shown the next one each time, on the connection that it had.
        assert await relay.meter('connections_closed_total{code="4401"}') == 0
        assert await relay.meter("steward_deaths_total") == 0


@LINUX
async def test_a_relay_that_is_told_to_has_no_steward(tmp_path: Path) -> None:
    async with relay_with_steward(tmp_path, steward="off") as relay, till(relay, tmp_path, "till-1") as one:
        await open_shop(one)
        assert (await relay.readiness())[1]["steward"] == "off"
        assert stewards_of(relay.pid) == []
        assert not (relay.data / "steward").exists()

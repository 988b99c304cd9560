"""Tenants take turns, and whose documents end processes waits: at the scribes, in the search, at the steward."""

from __future__ import annotations

import asyncio

from crdt_sync.values import RoomId
from server.rooms.suspicions import Suspicion, Suspicions
from server.scribes.turnstile import REST_MAX_S, REST_S, Rests, Turnstile
from server.steward.rests import REST_MAX_S as TENANT_REST_MAX_S
from server.steward.rests import REST_S as TENANT_REST_S
from server.steward.rests import Blame


async def order_of(asked: list[str], count: int = 1) -> list[str]:
    """Whose turn came when, if all ask at once while somebody is inside."""
    turnstile, came, go = Turnstile(count), [], asyncio.Event()

    async def ask(tenant: str) -> None:
        async with turnstile.turn(tenant):
            came.append(tenant)
            await go.wait()

    tasks = [asyncio.create_task(ask(tenant)) for tenant in asked]
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(came) == count
    go.set()
    await asyncio.gather(*tasks)
    await turnstile.emptied()
    return came


async def test_tenants_take_turns_and_keep_their_own_order() -> None:
    assert await order_of(["a", "a", "a", "a", "b", "c", "b"]) == ["a", "a", "b", "c", "a", "b", "a"]
    assert await order_of(["a", "b", "a"], count=2) == ["a", "b", "a"]


async def test_who_gives_up_waiting_leaves_the_turnstile_as_it_was() -> None:
    turnstile = Turnstile(1)
    async with turnstile.turn("a"):
        waiting = [asyncio.create_task(turnstile._enter(tenant)) for tenant in ("b", "c")]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait([waiting[0]])
    # The turn was given to the second one; cancelled before it could notice, it passes it on.
    waiting[1].cancel()
    await asyncio.wait(waiting)
    await turnstile.emptied()
    async with asyncio.timeout(5), turnstile.turn("d"):
        pass


def test_one_death_is_an_accident_and_from_the_second_on_a_tenant_rests_longer_each_time() -> None:
    now_s = 100.0
    rests = Rests(lambda: now_s)
    rests.died("a")
    assert rests.left_s("a") == 0
    rests.died("a")
    assert rests.left_s("a") == REST_S
    rests.died("a")
    assert rests.left_s("a") == 2 * REST_S
    assert rests.left_s("b") == 0
    for _ in range(50):
        rests.died("a")
    assert rests.left_s("a") == REST_MAX_S
    now_s += REST_MAX_S
    assert rests.left_s("a") == 0
    rests.went_well("a")
    rests.died("a")
    assert rests.left_s("a") == 0


async def test_suspicions_take_turns_and_stand_there_once() -> None:
    suspicions = Suspicions()
    one, two, other = RoomId("a", "one"), RoomId("a", "two"), RoomId("b", "one")
    for room in (one, two, other):
        suspicions.add(room)
    suspicions.add(one, reads=True)
    suspicions.add(one)
    heard = [await suspicions.next() for _ in range(3)]
    assert heard == [Suspicion(one, True), Suspicion(other, False), Suspicion(two, False)]
    waiting = asyncio.create_task(suspicions.next())
    await asyncio.sleep(0)
    assert not waiting.done()
    suspicions.add(two)
    assert await waiting == Suspicion(two, False)


def test_the_second_death_on_one_document_lets_its_tenant_rest_and_a_round_forgives() -> None:
    blame = Blame()
    assert blame.died(0.0) is None
    found = None
    for at_s in (1.0, 2.0):
        blame.handles("b", "x")
        blame.handles("a", "x")
        found = blame.died(at_s)
    assert found == ("a", "x")
    assert blame.rests("a", 2.0 + TENANT_REST_S - 1)
    assert not blame.rests("b", 2.0)
    assert blame.rested(3.0) == []
    assert blame.rested(2.0 + TENANT_REST_S) == ["a"]
    assert not blame.rests("a", 2.0 + TENANT_REST_S)
    blame.handles("a", "x")
    assert blame.died(20.0) == ("a", "x")
    assert blame.rests("a", 20.0 + 2 * TENANT_REST_S - 1)
    blame.went_well("a")
    blame.handles("a", "x")
    assert blame.died(30.0) is None
    for _ in range(30):
        blame.handles("a", "x")
        blame.died(50.0)
    assert blame.rested(50.0 + TENANT_REST_MAX_S) == ["a"]

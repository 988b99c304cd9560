"""Relays under the shim, with real clients: what was acked to one and seen by another when it died."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from websockets.exceptions import ConnectionClosed, WebSocketException

from crdt_sync.protocol.messages import NewUpdate
from tests.faults.kills import KILLS, Toll
from tests.faults.shim import Shim
from tests.integration.raw_member import Author, RawMember, content_of, open_raw
from tests.integration.relay_process import RelayProcess

DOCUMENTS: Final = ("one", "two")
CALLS_MAX: Final = 900
"""A kill comes within so many calls: some eighty commits, compactions among them."""


def relay_under(shim: Shim, folder: Path, **settings: object) -> RelayProcess:
    """A relay on whose files the shim acts."""
    wanted = {"free_space_bytes_min": 0, "compact_log_records_max": 15, **settings}
    return RelayProcess(folder, data=shim.folder, wrapper=shim.wrapper, **wanted)


@dataclass
class Told:
    """What clients were told, by document: key and value."""

    acked: dict[str, dict[str, Any]] = field(default_factory=lambda: {document: {} for document in DOCUMENTS})
    seen: dict[str, dict[str, Any]] = field(default_factory=lambda: {document: {} for document in DOCUMENTS})

    def missing_from(self, document: str, content: dict[str, Any]) -> list[str]:
        told = (("acked", self.acked[document]), ("seen", self.seen[document]))
        return [
            f"{document}: {key} was {what}, and is {content.get(key)!r}"
            for what, facts in told
            for key, value in facts.items()
            if content.get(key) != value
        ]


async def write_until_the_end(member: RawMember, prefix: str, is_peer: bool, acked: dict[str, Any]) -> None:
    """Save one edit after the other, until the connection ends."""
    author = Author()
    number = 0
    while not member.has_ended:
        key, value = f"{prefix}-{number}", "x" * (number * 997 % 3_000)
        said = NewUpdate(author.put(key, value))
        number += 1

        def is_acked(said: NewUpdate = said, through: int = number) -> bool:
            return member.acked >= through if is_peer else said in member.heard

        with suppress(ConnectionClosed):
            await member.say(said)
            with suppress(AssertionError):
                # Which means that the connection has ended.
                await member.hears(is_acked)
        if is_acked():
            acked[key] = value


async def work_until_it_dies(relay: RelayProcess, prefix: str, told: Told) -> None:
    """A page and a peer write into each document, and another page looks on, until the relay has died."""
    async with AsyncExitStack() as stack:
        writers = []
        witnesses = {}
        with suppress(ConnectionClosed, WebSocketException, OSError, AssertionError):
            for document in DOCUMENTS:
                for is_peer in (False, True):
                    member = await stack.enter_async_context(open_raw(relay, document, is_peer=is_peer))
                    await member.join()
                    writers.append((member, is_peer, document))
                witness = await stack.enter_async_context(open_raw(relay, document))
                await witness.join()
                witnesses[document] = witness
        await asyncio.gather(
            *(
                write_until_the_end(member, f"{prefix}-{'peer' if is_peer else 'page'}", is_peer, told.acked[document])
                for member, is_peer, document in writers
            )
        )
        for document, witness in witnesses.items():
            await witness.closed()
            told.seen[document] |= witness.content()


async def kill_relays(shim: Shim, folder: Path, count: int, random: Random) -> Toll:
    """Kill a relay at ``count`` calls, and look after each with a fresh client at what the next one serves."""
    toll, told = Toll(), Told()
    async with relay_under(shim, folder) as relay:
        for number in range(count):
            action = random.choice(KILLS)
            shim.arm(action, after=random.randrange(1, CALLS_MAX))
            await work_until_it_dies(relay, str(number), told)
            assert shim.fired == 1
            toll.tried += 1
            toll.boundaries[f"{action.name.lower()} {shim.fired_at}"] += 1
            shim.disarm()
            await relay.kill()
            await relay.start()
            for document in DOCUMENTS:
                toll.lost += told.missing_from(document, await content_of(relay, document))
            toll.acks, toll.seen = (sum(map(len, facts.values())) for facts in (told.acked, told.seen))
        assert await relay.stop() == 0
        verified = await relay.run_command("verify")
        if verified.returncode:
            toll.lost.append(verified.stdout)
    return toll

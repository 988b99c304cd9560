"""Stock clients of every dialect edit through bad weather and kills of the relay; what they claim is checked.

:func:`run_storm` raises :class:`AssertionError` as soon as somebody was told that an edit is saved which is not in the
relay's file, saw an edit of another that is not, or lost one; and when the clients do not agree in the end.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from anyio import TaskFailed
from pycrdt import Doc, Map, Provider
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from crdt_sync.documents.schema import MOVEMENTS
from crdt_sync.peer import OfflinePeer
from server.commands.documents import opened_store
from tests.integration.relay_process import POLL_S, RelayProcess, eventually
from tests.interop.node_clients import Page, Pages, open_pages
from tests.interop.weather import COUNTED, ECHOED, MARKED, Climate, Weather, open_weather

TENANT: Final = "acme"
PERIOD: Final = "2026-11"
SHOP: Final = f"inventory/{PERIOD}"
EDITS_MAX: Final = 100_000
PAUSE_S: Final = 0.02
LAST_EDIT_S: Final = 5.0
TRIES_MAX: Final = 12

CLIMATES: Final = {
    "y-websocket-1": ECHOED,
    "y-websocket-2": ECHOED,
    "y-websocket-3": ECHOED,
    "y-websocket-4": ECHOED,
    "hocuspocus": COUNTED,
    "y-sweet": MARKED,
    # yrs does not always heal after single lost messages, see the reasons for the gate in docs/adr.
    "pycrdt": COUNTED,
    "peer": COUNTED,
}
KINDS: Final = tuple(CLIMATES)


class Client(ABC):
    """One client of the storm: it edits all the time until it is told to stop."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    async def claimed(self) -> set[str]:
        """The edits that it has been told are saved."""

    @abstractmethod
    async def seen(self) -> set[str]:
        """Edits of others that it holds."""

    @abstractmethod
    async def finish(self) -> set[str]:
        """Edit no more, and wait until all is saved where the dialect can say so; every edit that it made."""

    @abstractmethod
    async def content(self) -> Any:
        """What it holds, to be compared with others of its kind."""


class PageClient(Client):
    """A provider from npm."""

    def __init__(self, page: Page) -> None:
        super().__init__(page.name)
        self._page = page

    async def claimed(self) -> set[str]:
        claim = await self._page.call("claim")
        return {f"{self.name}-{number}" for number in range(claim["saved"])}

    async def seen(self) -> set[str]:
        held = (await self._page.content())["m"]
        return {key for key in held if not key.startswith(f"{self.name}-")}

    async def finish(self) -> set[str]:
        await self._page.call("stop")
        # An echo that the weather took is not said again: only an edit in good weather brings word that all is saved.
        tries = 0
        while not await self._saves_one_more():
            tries += 1
            assert tries < TRIES_MAX, await self._state()
        edits = (await self._page.call("claim"))["edits"]
        return {f"{self.name}-{number}" for number in range(edits)}

    async def _state(self) -> str:
        return f"{self.name} is not saved in good weather: {await self._page.state()} {await self._page.call('more')}"

    async def content(self) -> Any:
        return sorted(await self._page.call("clocks")), await self._page.content()

    async def _saves_one_more(self) -> bool:
        number = (await self._page.call("claim"))["edits"]
        await self._page.edit(["map", "m", "set", f"{self.name}-{number}", number])
        # No timeout around a call: an answer that nobody waited for would be taken for that of the next one.
        give_up_s = time.monotonic() + LAST_EDIT_S
        while time.monotonic() < give_up_s:
            claim = await self._page.call("claim")
            if claim["saved"] == claim["edits"]:
                return True
            await asyncio.sleep(POLL_S)
        return False


class Channel:
    """What pycrdt's provider wants of a WebSocket."""

    def __init__(self, socket: ClientConnection, path: str) -> None:
        self._socket = socket
        self.path = path

    async def send(self, message: bytes) -> None:
        await self._socket.send(message)

    async def recv(self) -> bytes:
        return await self._socket.recv(decode=False)

    def __aiter__(self) -> Channel:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.recv()
        except ConnectionClosed:
            raise StopAsyncIteration from None


class PycrdtClient(Client):
    """pycrdt's provider, over one WebSocket after the other. It has no word for saved."""

    def __init__(self, name: str, weather: Weather, document: str) -> None:
        super().__init__(name)
        self._url = f"{weather.ws}/ws/{TENANT}/{document}?token={weather.token()}"
        self._document = document
        self._doc: Doc[Any] = Doc()
        self._map = self._doc.get("m", type=Map)
        self._edits = 0
        self._tasks = [asyncio.create_task(self._stay_connected()), asyncio.create_task(self._write())]

    async def claimed(self) -> set[str]:
        return set()

    async def seen(self) -> set[str]:
        return {key for key in self._map if not key.startswith(f"{self.name}-")}

    async def finish(self) -> set[str]:
        self._tasks[1].cancel()
        assert not self._tasks[0].done(), f"{self.name} has given up"
        return {f"{self.name}-{number}" for number in range(self._edits)}

    async def content(self) -> Any:
        return self._map.to_py()

    async def leave(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)

    async def _write(self) -> None:
        while True:
            self._map[f"{self.name}-{self._edits}"] = float(self._edits)
            self._edits += 1
            await asyncio.sleep(PAUSE_S)

    async def _stay_connected(self) -> None:
        while True:
            try:
                async with (
                    connect(self._url, compression=None) as socket,
                    Provider(self._doc, Channel(socket, self._document)),
                ):
                    await socket.wait_closed()
            except* (ConnectionClosed, InvalidHandshake, InvalidMessage, TaskFailed, OSError, EOFError):
                await asyncio.sleep(PAUSE_S)


class PeerClient(Client):
    """Our own offline peer. Its edits are movements, each with a reference of its own."""

    def __init__(self, name: str, peer: OfflinePeer) -> None:
        super().__init__(name)
        self._peer = peer
        self._written: list[str] = []
        self._claimed: set[str] = set()
        self._writing = asyncio.create_task(self._write())

    async def claimed(self) -> set[str]:
        self._note()
        return self._claimed

    async def seen(self) -> set[str]:
        async with self._peer.read() as docs:
            return {ref for ref in docs.inventory.refs() if not ref.startswith(f"{self.name}-")}

    async def finish(self) -> set[str]:
        await self.leave()
        await eventually(self._unsynced, lambda unsynced: unsynced == 0, what=f"{self.name} saved")
        return set(self._written)

    async def content(self) -> Any:
        async with self._peer.read() as docs:
            return docs.inventory.refs()

    async def leave(self) -> None:
        self._writing.cancel()
        await asyncio.wait([self._writing])

    async def _unsynced(self) -> int:
        return self._peer.status().unsynced

    def _note(self) -> None:
        if self._peer.status().unsynced == 0:
            self._claimed.update(self._written)

    async def _write(self) -> None:
        async with self._peer.edit(period=PERIOD) as docs:
            docs.inventory.add_product("tea")
            docs.inventory.add_location("shop")
        while True:
            ref = f"{self.name}-{len(self._written)}"
            async with self._peer.edit(period=PERIOD) as docs:
                docs.inventory.receive("tea", 1, at="shop", ref=ref)
            self._written.append(ref)
            for _ in range(5):
                await asyncio.sleep(PAUSE_S)
                self._note()


@dataclass
class Storm:
    """A relay, its weather for each dialect, and who is in it."""

    relay: RelayProcess
    random: Random
    folder: Path
    reached: Counter[str] = field(default_factory=Counter)
    weathers: dict[Climate, Weather] = field(default_factory=dict)
    clients: dict[str, list[Client]] = field(default_factory=dict)
    """By document."""

    async def enter(self, stack: AsyncExitStack, nodes: Pages, kind: str, name: str, document: str) -> None:
        """Let a client of one dialect into a document."""
        weather = self.weathers.get(climate := CLIMATES[kind])
        if weather is None:
            weather = await stack.enter_async_context(open_weather(self.relay, climate, self.random))
            weather.reached = self.reached
            self.weathers[climate] = weather
        client: Client
        if kind == "peer":
            path = self.folder / f"{name}.db"
            opened = OfflinePeer.open(path, tenant=TENANT, name=name, relay=weather.ws, token=weather.token())
            peer = await stack.enter_async_context(opened)
            # A wait of at most a second between two tries, for the weather changes often.
            await stack.enter_async_context(peer.online(jitter=lambda: self.random.random() / 30))
            client = PeerClient(name, peer)
            stack.push_async_callback(client.leave)
        elif kind == "pycrdt":
            client = PycrdtClient(name, weather, document)
            stack.push_async_callback(client.leave)
        else:
            client = PageClient(await self._page(nodes, weather, kind, name, document))
            await nodes.call("write", name, EDITS_MAX, PAUSE_S * 1000, True)
        self.clients.setdefault(document, []).append(client)

    async def _page(self, nodes: Pages, weather: Weather, kind: str, name: str, document: str) -> Page:
        if kind == "hocuspocus":
            return await nodes.open_hocuspocus(name, weather, document)
        if kind == "y-sweet":
            return await nodes.open_y_sweet(name, weather, document)
        return await nodes.open(name, weather, document, version=int(kind[-1]))

    async def blow(self, messages: int) -> None:
        """Let that many messages go through the weather."""
        wanted = self.reached["messages"] + messages

        async def count() -> int:
            return self.reached["messages"]

        await eventually(count, lambda count: count >= wanted)

    async def kill_and_check(self) -> None:
        """Kill the relay, and compare its file with what anybody was told."""
        await self.relay.kill()
        self.reached["kills"] += 1
        for document, clients in self.clients.items():
            kept = await stored(self.relay, document)
            for client in clients:
                claimed, seen = await client.claimed(), await client.seen()
                self.reached["edits claimed saved"] += len(claimed)
                self.reached["edits seen"] += len(seen)
                assert claimed <= kept, f"{client.name} was told that these are saved: {sorted(claimed - kept)[:9]}"
                assert seen <= kept, f"{client.name} saw what is not on disk: {sorted(seen - kept)[:9]}"

    async def end(self) -> None:
        """Good weather at last: everybody must come to hold everything."""
        for weather in self.weathers.values():
            weather.clear()
        made: dict[str, set[str]] = {}
        for document, clients in self.clients.items():
            made[document] = {edit for client in clients for edit in await client.finish()}
            await agreed(clients, made[document])
            self.reached["edits"] += len(made[document])
            self.reached["clients"] += len(clients)
        await self.kill_and_check()
        for document, edits in made.items():
            assert edits <= (kept := await stored(self.relay, document)), f"lost: {sorted(edits - kept)[:9]}"


async def agreed(clients: Sequence[Client], made: set[str]) -> None:
    """Wait until everybody holds what all have made, and those of one kind hold the same."""
    groups: dict[type[Client], list[Client]] = {}
    for client in clients:
        groups.setdefault(type(client), []).append(client)
    for kind, group in groups.items():

        async def contents(group: Sequence[Client] = group) -> list[Any]:
            return [await client.content() for client in group]

        await eventually(contents, lambda seen: all(one == seen[0] for one in seen), what=f"{kind.__name__}s agree")
    # Pages know nothing of movements, and peers nothing of the pages' map.
    refs = {key for client in clients if isinstance(client, PeerClient) for key in made if key.startswith(client.name)}
    for client in clients:
        wanted = {key for key in made if not key.startswith(f"{client.name}-")}
        await holds_all(client, wanted & refs if isinstance(client, PeerClient) else wanted - refs)


async def holds_all(client: Client, wanted: set[str]) -> None:
    async def missing() -> set[str]:
        return wanted - await client.seen()

    await eventually(missing, lambda missing: not missing, what=f"{client.name} holds all")


async def stored(relay: RelayProcess, document: str) -> set[str]:
    """The edits in the file of a relay that does not run."""
    async with opened_store(relay.data, TENANT) as store:
        loaded = await store.log(document).load()
    doc: Doc[Any] = Doc()
    if loaded.snapshot is not None:
        doc.apply_update(loaded.snapshot.state)
    for record in loaded.tail:
        doc.apply_update(record.update)
    movements = doc.get(MOVEMENTS, type=Map).to_py() or {}
    refs = {value[6] for value in movements.values() if len(value) > 6}
    return {*doc.get("m", type=Map), *refs}


async def run_storm(
    folder: Path, seed: int, rooms: Sequence[Sequence[str]], *, kills: int, messages: int
) -> Counter[str]:
    """Clients of the kinds of each of ``rooms`` in one document, through ``kills``; what was reached."""
    random = Random(seed)
    async with AsyncExitStack() as stack:
        relay = RelayProcess(folder, free_space_bytes_min=0, compact_log_records_max=random.choice((100, 10_000)))
        storm = Storm(await stack.enter_async_context(relay), random, folder)
        nodes = await stack.enter_async_context(open_pages())
        for place, kinds in enumerate(rooms):
            document = SHOP if "peer" in kinds else f"storm/{place}"
            for number, kind in enumerate(kinds):
                await storm.enter(stack, nodes, kind, f"{kind}.{place}.{number}", document)
        for _ in range(kills):
            await storm.blow(random.randint(messages // 2, messages))
            await storm.kill_and_check()
            await relay.start()
        await storm.blow(messages // 4)
        await storm.end()
        return storm.reached

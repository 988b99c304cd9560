"""The steward's own loop: orders in, one attendance for each tenant, reports out."""

from __future__ import annotations

import asyncio
import base64
import shutil
import time
from pathlib import Path
from typing import BinaryIO, Final, TextIO

from crdt_sync.limits import Limits
from server.auth.grants import RELAY_SUBJECT, Role
from server.auth.keys import own_key
from server.auth.tokens import TokenIssuer
from server.steward.attendance import Attendance
from server.steward.rota import DUTIES
from server.steward.words import Alive, Attend, Dismiss, Instructions, Report, from_line, to_line

ALIVE_S: Final = 5.0
"""Far below what the supervisor takes for a sign of death."""


async def keep_house(source: TextIO, sink: BinaryIO) -> None:
    """Obey until the orders end. A defect in one attendance ends them all, with its traceback: the supervisor sees."""
    orders = await _lines(source)
    instructions = from_line(await orders.readline())
    assert isinstance(instructions, Instructions)
    # What a steward before this one left when it was killed, or its relay with it.
    shutil.rmtree(instructions.folder, ignore_errors=True)
    house = Household(instructions, sink)
    async with asyncio.TaskGroup() as group:
        breathing = group.create_task(house.breathe())
        while line := await orders.readline():
            order = from_line(line)
            assert isinstance(order, Attend | Dismiss)
            house.obey(order, group)
        breathing.cancel()
        house.close()


class Household:
    """The tenants that are looked after now."""

    def __init__(self, instructions: Instructions, sink: BinaryIO) -> None:
        key = own_key(base64.b64decode(instructions.secret))
        self._instructions = instructions
        self._issuer = TokenIssuer(
            key,
            issuer=instructions.issuer,
            audience=instructions.audience,
            ttl_max_s=instructions.token_ttl_s,
        )
        self._sink = sink
        self._attended: dict[str, tuple[Attendance, asyncio.Task[None]]] = {}
        self._leaving: dict[str, asyncio.Task[None]] = {}

    def obey(self, order: Attend | Dismiss, group: asyncio.TaskGroup) -> None:
        match order:
            case Attend(tenant, document):
                if tenant not in self._attended:
                    attendance = self._attendance(tenant)
                    attending = _after(self._leaving.pop(tenant, None), attendance)
                    self._attended[tenant] = attendance, group.create_task(attending, name=f"attend {tenant}")
                self._attended[tenant][0].visited(document)
            case Dismiss(tenant):
                if (found := self._attended.pop(tenant, None)) is not None:
                    found[1].cancel()
                    self._leaving[tenant] = found[1]

    def close(self) -> None:
        """Let go of every tenant."""
        for _, task in self._attended.values():
            task.cancel()

    async def breathe(self) -> None:
        """Say for ever that we are there."""
        while True:
            self._say(Alive())
            await asyncio.sleep(ALIVE_S)

    def _attendance(self, tenant: str) -> Attendance:
        instructions = self._instructions
        return Attendance(
            tenant,
            Path(instructions.folder) / tenant,
            relay=instructions.relay,
            token=lambda: self._token(tenant),
            duties=DUTIES,
            interval_s=instructions.interval_s,
            limits=Limits(**instructions.limits),
            say=self._say,
        )

    def _token(self, tenant: str) -> str:
        return self._issuer.issue(
            tenant=tenant,
            role=Role.ADMIN,
            subject=RELAY_SUBJECT,
            ttl_s=self._instructions.token_ttl_s,
            now_s=time.time(),
        )

    def _say(self, report: Report) -> None:
        # In one write, so that a kill leaves no half of it.
        self._sink.write(to_line(report))


async def _after(leaving: asyncio.Task[None] | None, attendance: Attendance) -> None:
    # A file has one holder: the attendance before this one must have let go of it.
    if leaving is not None:
        await asyncio.wait([leaving])
    await attendance.run()


async def _lines(source: TextIO) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
    return reader

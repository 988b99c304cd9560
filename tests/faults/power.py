"""What a disk may hold after the power has failed, made from the trace of what was done to it.

Of a file only what was fsynced is sure: of the writes and cuts since, any may have got there, whole or in part, in any
order. Of a folder only what stood in it when it was fsynced: of the names that were made, changed or removed since,
any may have. That is more than most file systems would do to us."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, TypeAlias

from tests.faults.shim import Event, Op

SECTOR_BYTES: Final = 512

Choose: TypeAlias = Callable[[], bool]


@dataclass
class File:
    """One inode: what is sure of it, and what was done to it since."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Event] = field(default_factory=list)

    def sync(self) -> None:
        self.durable = self.image(lambda: True, None)
        self.pending.clear()

    def image(self, survives: Choose, tear: Random | None) -> bytearray:
        content = bytearray(self.durable)
        for event in self.pending:
            if survives():
                redo(content, event, tear)
        return content


def redo(content: bytearray, event: Event, tear: Random | None) -> None:
    """Do a write or a cut again; with ``tear``, some writes only from sector to sector."""
    if event.op == Op.TRUNCATE:
        del content[event.length :]
        content.extend(bytes(event.length - len(content)))
        return
    end = event.offset + len(event.data)
    content.extend(bytes(max(0, end - len(content))))
    if tear is None or tear.random() < 0.7:
        content[event.offset : end] = event.data
        return
    for start in range(event.offset - event.offset % SECTOR_BYTES, end, SECTOR_BYTES):
        if tear.random() < 0.5:
            low, high = max(start, event.offset), min(start + SECTOR_BYTES, end)
            content[low:high] = event.data[low - event.offset : high - event.offset]


@dataclass(frozen=True)
class Naming:
    """One change of a folder: a name for a file, or no longer one; a renaming takes its old name away as well."""

    name: str
    file: File | None
    instead_of: str | None = None

    def apply(self, names: dict[str, File]) -> None:
        if self.instead_of is not None:
            names.pop(self.instead_of, None)
        if self.file is None:
            names.pop(self.name, None)
        else:
            names[self.name] = self.file


class Disk:
    """One folder of a traced process, call by call."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: dict[str, File] = {}
        """As the process sees it."""
        self._durable: dict[str, File] = {}
        self._pending: list[Naming] = []

    def take(self, event: Event) -> None:
        """Do to this disk what was done to the real one."""
        path = Path(event.path)
        if path == self._folder:
            if event.op == Op.SYNC and not event.length:
                self._sync_names()
            return
        if path.parent != self._folder:
            return
        match event.op:
            case Op.CREATE:
                self._name(Naming(path.name, File()))
            case Op.UNLINK:
                self._name(Naming(path.name, None))
            case Op.RENAME:
                self._name(Naming(Path(event.data.decode()).name, self._names[path.name], path.name))
            case Op.SYNC if event.length:
                # Linux may drop what it could not write, and the next sync then succeeds without it.
                self._names[path.name].pending.clear()
            case Op.SYNC:
                self._names[path.name].sync()
            case _:
                self._names[path.name].pending.append(event)

    def _name(self, naming: Naming) -> None:
        naming.apply(self._names)
        self._pending.append(naming)

    def _sync_names(self) -> None:
        self._durable = dict(self._names)
        self._pending.clear()

    @property
    def unsure(self) -> int:
        """How many calls have been done of which nobody knows whether they have got there."""
        return len(self._pending) + sum(len(file.pending) for file in self._names.values())

    def image(self, random: Random) -> Mapping[str, bytes]:
        """What may be there if the power fails now: a content for each name."""
        # None of it and all of it are the likeliest, and neither would come up by drawing call for call.
        chance = random.choice([0.0, 0.1, 0.5, 0.9, 1.0])

        def survives() -> bool:
            return random.random() < chance

        names = dict(self._durable)
        for naming in self._pending:
            if survives():
                naming.apply(names)
        tear = random if 0 < chance < 1 else None
        contents = {id(file): bytes(file.image(survives, tear)) for file in names.values()}
        return {name: contents[id(file)] for name, file in names.items() if name != "acks"}

    def sure(self) -> Mapping[str, bytes]:
        """Only what was synced."""
        return {name: bytes(file.durable) for name, file in self._durable.items() if name != "acks"}

    def content(self) -> Mapping[str, bytes]:
        """What the process sees, or would see when the power stays on."""
        return {name: bytes(file.image(lambda: True, None)) for name, file in self._names.items() if name != "acks"}

    def acks(self) -> Iterable[str]:
        """What had been acknowledged so far: lines that never were on this disk."""
        file = self._names.get("acks", File())
        return file.image(lambda: True, None).decode().splitlines()


def put(image: Mapping[str, bytes], folder: Path) -> None:
    """Make ``folder`` what the image says; the index of the WAL is left out, as it is made anew after a start."""
    for name, content in image.items():
        if not name.endswith("-shm"):
            (folder / name).write_bytes(content)

"""Backups of tenants: a folder with one file for each store, a manifest, and the checksums of both."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from crdt_sync.errors import InvalidName, StoreCorrupted, StoreError, StoreTooNew, StoreUnavailable
from crdt_sync.stores.copying import Contents, Standing, check_copy, copy_store
from crdt_sync.stores.custody import sync_folder
from crdt_sync.values import check_tenant
from server.storage.audit import KIND as AUDIT
from server.storage.audit import RELAY_LOG, audit_file, audits_on_disk
from server.storage.quarantine import KIND as QUARANTINE
from server.storage.quarantine import quarantine_file
from server.storage.tenants import KIND, tenant_file, tenants_on_disk

FORMAT: Final = 2
"""2 since what is set aside has files of its own."""
MANIFEST: Final = "manifest.json"
SUMS: Final = "SHA256SUMS"
CHUNK_BYTES: Final = 1 << 20

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""


@dataclass(frozen=True, slots=True)
class TenantCopy:
    """One tenant in a backup."""

    file: str
    bytes: int
    sha256: str
    contents: Contents


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds, and what it had to leave out."""

    program: str
    """Name and version of what made it."""
    made_at: str
    """UTC, ISO 8601. All that was acknowledged before is in the backup."""
    tenants: Mapping[str, TenantCopy]
    left_out: Mapping[str, str]
    """Tenants that could not be copied, and why."""
    quarantines: Mapping[str, TenantCopy] = field(default_factory=dict)
    """What is set aside, of those tenants that have any."""
    audits: Mapping[str, TenantCopy] = field(default_factory=dict)
    """The audit logs, by name."""

    def copies(self) -> Iterator[tuple[str, TenantCopy]]:
        """Every file of the backup but the manifest, with the name that it must have."""
        yield from ((f"{tenant}.db", copy) for tenant, copy in self.tenants.items())
        yield from ((f"{tenant}.{QUARANTINE}.db", copy) for tenant, copy in self.quarantines.items())
        yield from ((audit_copy(name), copy) for name, copy in self.audits.items())

    def text(self) -> str:
        """The manifest as it is written."""
        plain = {"format": FORMAT, **asdict(self)}
        return json.dumps(plain, ensure_ascii=False, indent=2, sort_keys=True) + "\n"

    @classmethod
    def parse(cls, text: str, path: Path) -> Manifest:
        """Raises :class:`StoreCorrupted`, and :class:`StoreTooNew` for a later format."""
        try:
            plain = json.loads(text)
            if plain["format"] > FORMAT:
                raise StoreTooNew(f"{path} has format {plain['format']}; this version knows formats up to {FORMAT}")
            tenants = {check_tenant(name): _tenant_copy(copy) for name, copy in plain["tenants"].items()}
            kept = {check_tenant(name): _tenant_copy(copy) for name, copy in plain.get("quarantines", {}).items()}
            audits = {str(name): _tenant_copy(copy) for name, copy in plain.get("audits", {}).items()}
            return cls(str(plain["program"]), str(plain["made_at"]), tenants, dict(plain["left_out"]), kept, audits)
        except (AttributeError, InvalidName, KeyError, TypeError, ValueError, RecursionError) as error:
            raise StoreCorrupted(f"{path} is no manifest of a backup: {error!r}") from error


def _tenant_copy(plain: Mapping[str, Any]) -> TenantCopy:
    contents = plain["contents"]
    documents = {name: Standing(int(one["last_seq"]), str(one["link"])) for name, one in contents["documents"].items()}
    return TenantCopy(
        str(plain["file"]),
        int(plain["bytes"]),
        str(plain["sha256"]),
        Contents(str(contents["identity"]), documents, list(contents["retired"])),
    )


async def make_backup(
    data_dir: Path, tenants: Sequence[str], to: Path, *, program: str, made_at: str, progress: Progress
) -> Manifest:
    """Copy each tenant's store, as it stands at one moment, into the new folder ``to``; a relay may go on writing.

    Every row of every copy is checked before the folder gets its name. A tenant whose store is damaged is left out, and
    the manifest says why; with nothing left to keep there is no folder, and its :class:`StoreError` is raised."""
    work = to.with_name(f"{to.name}.partial")
    # What an interrupted one has left is of no use.
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True, mode=0o700)
        copies: dict[str, TenantCopy] = {}
        kept: dict[str, TenantCopy] = {}
        failures: dict[str, StoreError] = {}
        for tenant in tenants:
            try:
                copies[tenant] = await _copy_tenant(data_dir, tenant, work, progress)
                # After the documents: what they say is set aside is in it then.
                if quarantine_file(data_dir, tenant).exists():
                    kept[tenant] = await _copy_quarantine(data_dir, tenant, work, progress)
            except StoreError as error:
                copies.pop(tenant, None)
                for name in (f"{tenant}.db", f"{tenant}.{QUARANTINE}.db"):
                    (work / name).unlink(missing_ok=True)
                failures[tenant] = error
        audits = await _copy_audits(data_dir, tenants, work, failures, progress)
        if failures and not copies:
            raise next(iter(failures.values()))
        left_out = {tenant: f"{error} [{error.code}]" for tenant, error in failures.items()}
        manifest = Manifest(program, made_at, copies, left_out, kept, audits)
        _write(work / MANIFEST, manifest.text())
        _write(work / SUMS, _sums(work, manifest))
        sync_folder(work)
        os.rename(work, to)
        sync_folder(to.parent)
    except OSError as error:
        shutil.rmtree(work, ignore_errors=True)
        raise StoreUnavailable(f"{to}: {error}") from error
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        raise
    return manifest


async def _copy_tenant(data_dir: Path, tenant: str, work: Path, progress: Progress) -> TenantCopy:
    return await _copy_store(tenant_file(data_dir, tenant), work / f"{tenant}.db", KIND, tenant, progress)


async def _copy_quarantine(data_dir: Path, tenant: str, work: Path, progress: Progress) -> TenantCopy:
    target = work / f"{tenant}.{QUARANTINE}.db"
    return await _copy_store(quarantine_file(data_dir, tenant), target, QUARANTINE, tenant, progress)


async def _copy_audits(
    data_dir: Path, tenants: Sequence[str], work: Path, failures: dict[str, StoreError], progress: Progress
) -> dict[str, TenantCopy]:
    """Copy the tenants' audit logs, and with every tenant the relay's own; a damaged one is noted in ``failures``."""
    wanted = {*tenants, RELAY_LOG} if {*tenants} >= {*tenants_on_disk(data_dir)} else {*tenants}
    copies: dict[str, TenantCopy] = {}
    for name in (name for name in audits_on_disk(data_dir) if name in wanted):
        target = work / audit_copy(name)
        try:
            copies[name] = await _copy_store(audit_file(data_dir, name), target, AUDIT, name, progress)
        except StoreError as error:
            target.unlink(missing_ok=True)
            failures[f"{name} (audit log)"] = error
    return copies


def audit_copy(name: str) -> str:
    """The file of an audit log in a backup; no tenant's name begins with a sign."""
    return f"_{AUDIT}.{name}.db"


async def _copy_store(source: Path, target: Path, kind: str, tenant: str, progress: Progress) -> TenantCopy:
    def copied(done: int, total: int) -> None:
        progress(f"{tenant}: pages copied", done, total)

    def checked(document: str, done: int, total: int) -> None:
        progress(f"{tenant}/{document}: rows checked", done, total)

    identity = await copy_store(source, target, kind=kind, progress=copied)
    contents = await check_copy(target, identity, kind=kind, progress=checked)
    return TenantCopy(target.name, os.stat(target).st_size, _sha256(target, sync=True), contents)


def read_backup(folder: Path, *, progress: Progress) -> Manifest:
    """The manifest of a backup, every byte of whose files is the one that was written.

    Raises :class:`StoreUnavailable` if ``folder`` is no backup, :class:`StoreCorrupted` naming the file that has
    changed, and :class:`StoreTooNew`."""
    try:
        sums = (folder / SUMS).read_bytes()
        manifest_bytes = (folder / MANIFEST).read_bytes()
        if _line(hashlib.sha256(manifest_bytes).hexdigest(), MANIFEST).encode() not in sums.splitlines(keepends=True):
            raise StoreCorrupted(f"{folder / MANIFEST} is not the one that {SUMS} was made of")
        manifest = Manifest.parse(manifest_bytes.decode(), folder / MANIFEST)
        for done, (name, copy) in enumerate(manifest.copies()):
            progress("files of the backup checked", done, len(list(manifest.copies())))
            if copy.file != name or _sha256(folder / copy.file) != copy.sha256:
                raise StoreCorrupted(f"{folder / copy.file} is not the file that was backed up")
        if sums != _sums(folder, manifest).encode():
            raise StoreCorrupted(f"{folder / SUMS} does not hold the checksums of this backup")
    except FileNotFoundError as error:
        raise StoreUnavailable(f"{folder} is no whole backup: {error.filename} is missing") from error
    except OSError as error:
        raise StoreUnavailable(f"{folder}: {error}") from error
    except UnicodeDecodeError as error:
        raise StoreCorrupted(f"{folder / MANIFEST} is not UTF-8") from error
    return manifest


def _sums(folder: Path, manifest: Manifest) -> str:
    """In the format of sha256sum, so that a backup can be checked where this program is not installed."""
    text = hashlib.sha256((folder / MANIFEST).read_bytes()).hexdigest()
    return "".join([_line(text, MANIFEST), *(_line(copy.sha256, copy.file) for _, copy in manifest.copies())])


def _line(digest: str, name: str) -> str:
    return f"{digest}  {name}\n"


def _sha256(path: Path, *, sync: bool = False) -> str:
    """The checksum of a file, which ``sync`` brings to the disk before."""
    with path.open("r+b" if sync else "rb") as file:
        if sync:
            os.fsync(file.fileno())
        digest = hashlib.sha256()
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _write(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())

"""Puts a tenant's store back from a backup, as a store of its own."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from crdt_sync.errors import StoreCorrupted, StoreUnavailable
from crdt_sync.stores.copying import check_copy
from crdt_sync.stores.custody import Sidecar, beside, hold, sync_folder, write_sidecar
from crdt_sync.stores.resealing import reseal_store
from crdt_sync.stores.sqlite import open_sqlite_store
from crdt_sync.stores.update_log import Retirement
from server.storage.audit import KIND as AUDIT
from server.storage.audit import audit_file, audits_on_disk
from server.storage.backups import Progress, TenantCopy
from server.storage.quarantine import KIND as QUARANTINE
from server.storage.quarantine import quarantine_file
from server.storage.tenants import KIND, tenant_file

MARK: Final = ".restored"
"""Suffix of the file beside a restored store that keeps the steward away from the tenant."""
REST: Final = (
    "This store was restored from a backup. The relay's steward does not know what it has handed out since then, and"
    " rests.\nRemove this file, and start the relay anew, once every device has synced."
)


def restored_tenants(data_dir: Path) -> frozenset[str]:
    """Tenants whose store was restored, and whose devices may have edits that it lacks, as far as the operator says."""
    return frozenset(path.name.removesuffix(f".db{MARK}") for path in (data_dir / "tenants").glob(f"*.db{MARK}"))


def is_occupied(data_dir: Path, tenant: str) -> bool:
    """Whether ``data_dir`` has a store of the tenant, or what is left of one; an interrupted restore is none."""
    path = tenant_file(data_dir, tenant)
    if path.exists() or beside(path, "-wal").exists():
        return True
    if quarantine_file(data_dir, tenant).exists() and not _workplace(path).exists():
        return True
    return beside(path, ".identity").exists() and not _workplace(path).exists()


async def restore_tenant(
    backup: Path,
    copy: TenantCopy,
    data_dir: Path,
    tenant: str,
    *,
    quarantine: TenantCopy | None = None,
    retire: Sequence[Retirement],
    progress: Progress,
) -> None:
    """Make the tenant's store in ``data_dir``, which has none, from its copy in ``backup``, with a new identity.

    Documents named by ``retire`` are ended, and their bytes overwritten, before the store is put in place. The store
    appears whole or not at all; from the beginning until then, a relay that is started takes the tenant for damaged,
    and never for new. Raises :class:`StoreError`; then everything is as before."""
    path = tenant_file(data_dir, tenant)
    work = _workplace(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    identity = uuid.uuid4().hex
    with hold(path, create=True):
        try:
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(mode=0o700)
            sync_folder(path.parent)
            # A sidecar without its file: whoever opens it is told that the file has gone.
            write_sidecar(path, Sidecar(identity, "closed"))
            made = work / path.name
            await _make(backup / copy.file, copy, KIND, made, identity, retire, progress)
            if quarantine is not None:
                # First: documents that say what is set aside must find it.
                await _put_quarantine(backup, quarantine, quarantine_file(data_dir, tenant), work, retire, progress)
            beside(path, MARK).write_text(f"{REST}\n", "utf-8")
            os.replace(made, path)
            sync_folder(path.parent)
        except BaseException as error:
            if not path.exists():
                for suffix in (".identity", MARK):
                    beside(path, suffix).unlink(missing_ok=True)
                if quarantine is not None:
                    for suffix in ("", ".identity"):
                        beside(quarantine_file(data_dir, tenant), suffix).unlink(missing_ok=True)
                shutil.rmtree(work, ignore_errors=True)
            if isinstance(error, OSError):
                raise StoreUnavailable(f"{path}: {error}") from error
            raise
        shutil.rmtree(work, ignore_errors=True)


async def restore_audit(backup: Path, copy: TenantCopy, data_dir: Path, name: str, *, progress: Progress) -> bool:
    """Put an audit log back, with a new identity; returns False where there is one already, which is the later one.

    Raises :class:`StoreError`."""
    path = audit_file(data_dir, name)
    if name in audits_on_disk(data_dir):
        return False
    work = _workplace(path)
    try:
        work.mkdir(parents=True, exist_ok=True, mode=0o700)
        identity, made = uuid.uuid4().hex, work / path.name
        await _make(backup / copy.file, copy, AUDIT, made, identity, (), progress)
        with hold(path, create=True):
            for suffix in ("-wal", "-shm"):
                # Of one that was never whole.
                beside(path, suffix).unlink(missing_ok=True)
            write_sidecar(path, Sidecar(identity, "closed"))
            os.replace(made, path)
            sync_folder(path.parent)
    except OSError as error:
        raise StoreUnavailable(f"{path}: {error}") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return True


async def _put_quarantine(
    backup: Path, copy: TenantCopy, path: Path, work: Path, retire: Sequence[Retirement], progress: Progress
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    identity = uuid.uuid4().hex
    made = work / f"{QUARANTINE}.db"
    ended = [note for note in retire if note.document in copy.contents.documents]
    await _make(backup / copy.file, copy, QUARANTINE, made, identity, ended, progress)
    with hold(path, create=True):
        write_sidecar(path, Sidecar(identity, "closed"))
        os.replace(made, path)
        sync_folder(path.parent)


async def _make(
    source: Path,
    copy: TenantCopy,
    kind: str,
    made: Path,
    identity: str,
    retire: Sequence[Retirement],
    progress: Progress,
) -> None:
    def resealed(document: str, done: int, total: int) -> None:
        progress(f"{document}: rows sealed anew", done, total)

    def checked(document: str, done: int, total: int) -> None:
        progress(f"{document}: rows checked", done, total)

    shutil.copyfile(source, made)
    await reseal_store(made, copy.contents.identity, identity, progress=resealed)
    contents = await check_copy(made, identity, kind=kind, progress=checked)
    found = {name: standing.last_seq for name, standing in contents.documents.items()}
    if found != {name: standing.last_seq for name, standing in copy.contents.documents.items()}:
        raise StoreCorrupted(f"{source} does not hold the documents that its manifest names")
    if retire:
        async with open_sqlite_store(made, create=False, kind=kind) as store:
            for note in retire:
                await store.retire(note.document, note.why, note.at_ms, note.successor)
    with made.open("r+b") as file:
        os.fsync(file.fileno())


def _workplace(path: Path) -> Path:
    return path.with_name(f"{path.stem}.restoring")

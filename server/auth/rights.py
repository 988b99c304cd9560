"""What each role may do: roles, permissions, and the areas of documents that a permission is about."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

INVENTORY_FOLDER, METRICS_FOLDER, PERSONS_FOLDER = "inventory/", "metrics/", "pii/"


class Role(StrEnum):
    """Who acts, from most to least."""

    ADMIN = "admin"
    MANAGER = "manager"
    OPERATOR = "operator"
    VIEWER = "viewer"


class Permission(StrEnum):
    """What somebody may do. Accounts and campaigns are what the documents of metrics are about."""

    READ_ALL = "read_all"
    WRITE_ALL = "write_all"
    FORCE_SYNC = "force_sync"
    MANAGE_CAMPAIGNS = "manage_campaigns"
    READ_ACCOUNTS = "read_accounts"
    WRITE_ACCOUNTS = "write_accounts"
    READ_CAMPAIGNS = "read_campaigns"
    WRITE_CAMPAIGNS = "write_campaigns"
    READ_AUTOMATION = "read_automation"
    READ_INVENTORY = "read_inventory"
    WRITE_INVENTORY = "write_inventory"
    READ_OWN = "read_own"
    WRITE_OWN = "write_own"
    READ_PERSONS = "read_persons"
    WRITE_PERSONS = "write_persons"


class Area(StrEnum):
    """What sort of document it is, as its name says."""

    INVENTORY = "inventory"
    METRICS = "metrics"
    PERSONS = "persons"
    OWN = "own"
    """A tenant's own: any name that is none of the others."""


_READS: Final = frozenset(
    {Permission.READ_ACCOUNTS, Permission.READ_CAMPAIGNS, Permission.READ_INVENTORY, Permission.READ_OWN}
)
_OPERATES: Final = frozenset({Permission.READ_AUTOMATION, Permission.WRITE_INVENTORY, Permission.WRITE_OWN})
_MANAGES: Final = frozenset(
    {Permission.WRITE_ACCOUNTS, Permission.WRITE_CAMPAIGNS, Permission.READ_PERSONS, Permission.WRITE_PERSONS}
)
PERMISSIONS: Final[Mapping[Role, frozenset[Permission]]] = {
    Role.VIEWER: _READS,
    # Who stands at a till needs neither the customers' names nor a pen for the figures that others report.
    Role.OPERATOR: _READS | _OPERATES,
    Role.MANAGER: _READS | _OPERATES | _MANAGES,
    Role.ADMIN: frozenset(Permission),
}
_READING: Final[Mapping[Area, frozenset[Permission]]] = {
    Area.INVENTORY: frozenset({Permission.READ_INVENTORY}),
    Area.METRICS: frozenset({Permission.READ_ACCOUNTS, Permission.READ_CAMPAIGNS}),
    Area.PERSONS: frozenset({Permission.READ_PERSONS}),
    Area.OWN: frozenset({Permission.READ_OWN}),
}
_WRITING: Final[Mapping[Area, frozenset[Permission]]] = {
    Area.INVENTORY: frozenset({Permission.WRITE_INVENTORY}),
    Area.METRICS: frozenset({Permission.WRITE_ACCOUNTS, Permission.WRITE_CAMPAIGNS}),
    Area.PERSONS: frozenset({Permission.WRITE_PERSONS}),
    Area.OWN: frozenset({Permission.WRITE_OWN}),
}


def area_of(document: str) -> Area:
    """The area of a document, by its name."""
    if document.startswith(INVENTORY_FOLDER):
        return Area.INVENTORY
    if document.startswith(METRICS_FOLDER):
        return Area.METRICS
    return Area.PERSONS if document.startswith(PERSONS_FOLDER) else Area.OWN


def role_reads(role: Role, document: str) -> bool:
    """Whether a role may read documents like this one."""
    granted = PERMISSIONS[role]
    # Accounts and campaigns share a document, so to read it takes the right to both.
    return Permission.READ_ALL in granted or _READING[area_of(document)] <= granted


def role_writes(role: Role, document: str) -> bool:
    """Whether a role may write documents like this one, where nothing else is said."""
    granted = PERMISSIONS[role]
    return Permission.WRITE_ALL in granted or _WRITING[area_of(document)] <= granted


def least_writer(document: str) -> Role:
    """The least role that may write documents like this one."""
    return next(role for role in reversed(Role) if role_writes(role, document))

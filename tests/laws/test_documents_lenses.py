"""I15: writers of two versions in one catalog. None of them loses what the other one wrote."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crdt_sync.documents import lenses
from crdt_sync.documents.lenses import Lens, LensedProducts
from crdt_sync.documents.roots import Value
from tests.unit.documents.branches import Branch, branches, sync

PRICE = Lens("price", "price_c", 2, lambda old: round(float(str(old)) * 100), lambda new: int(str(new)) / 100)
VERSIONS = (1, 1, 2, 2)

Step = tuple[str, int, int]
STEPS = st.lists(
    st.tuples(st.sampled_from(("write", "write", "pull")), st.integers(0, 3), st.integers(0, 3)), max_size=12
)


@dataclass
class World:
    """Two devices of either version, and beside them which device has seen which writes."""

    devices: list[Branch] = field(default_factory=lambda: branches("old-1", "old-2", "new-1", "new-2"))
    seen: list[set[int]] = field(default_factory=lambda: [{0} for _ in VERSIONS])
    overwritten: set[int] = field(default_factory=set)
    writes: int = 0

    def act(self, step: Step) -> None:
        kind, device, other = step
        if kind == "pull":
            if device != other:
                self.devices[device].pull(self.devices[other])
                self.seen[device] |= self.seen[other]
            return
        self.writes += 1
        cents = 1000 + self.writes
        with self.devices[device].edit() as inventory:
            if VERSIONS[device] == 1:
                inventory.set_attribute("shirt", "price", cents / 100)
            else:
                LensedProducts(inventory, [PRICE]).set_attribute("shirt", "price_c", cents)
        self.overwritten |= self.seen[device]
        self.seen[device].add(self.writes)

    def check(self) -> None:
        sync(self.devices)
        latest = {1000 + write for write in set(range(1, self.writes + 1)) - self.overwritten}
        for device, version in zip(self.devices, VERSIONS, strict=True):
            if version == 2:
                assert latest <= visible(device), f"{device.rid} does not see {latest - visible(device)}"


def visible(device: Branch) -> set[Value]:
    """Every price in cents that somebody at a device of the new version is shown."""
    products = LensedProducts(device.look, [PRICE])
    shown = {products.attribute("shirt", "price_c")}
    for contested in products.contested():
        shown |= {contested.value, contested.contested_by}
    for conflict in device.look.conflicts():
        for sibling in conflict.siblings:
            value = sibling.value
            shown.add(
                PRICE.upgrade(value) if conflict.field == "price" else value[0] if isinstance(value, list) else value
            )
    return shown


@settings(max_examples=120, deadline=None)
@given(STEPS)
def test_I15_what_writers_of_two_versions_wrote_last_is_all_to_be_seen(steps: list[Step]) -> None:
    world = World()
    for step in steps:
        world.act(step)
    world.check()


@settings(max_examples=60, deadline=None)
@given(STEPS, st.integers(0, 1))
def test_I15_setting_the_field_settles_what_was_contested(steps: list[Step], who: int) -> None:
    world = World()
    for step in steps:
        world.act(step)
    sync(world.devices)
    settler = world.devices[2 + who]
    with settler.edit() as inventory:
        LensedProducts(inventory, [PRICE]).set_attribute("shirt", "price_c", 77)
    sync(world.devices)
    for device in world.devices[2:]:
        products = LensedProducts(device.look, [PRICE])
        assert products.contested() == []
        assert products.attribute("shirt", "price_c") == 77
    assert world.devices[0].look.attribute("shirt", "price") == 0.77


def believe_the_new_field(lens: Lens, old: Value, new: Value) -> lenses.Reading:
    return lenses.Reading(new[0] if isinstance(new, list) else lens.upgrade(old), None, False)


def test_I15_fails_for_a_reader_that_does_not_look_at_the_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lenses, "read_through", believe_the_new_field)
    world = World()
    for step in (("write", 2, 0), ("pull", 0, 2), ("write", 0, 0)):
        world.act(step)
    with pytest.raises(AssertionError, match="does not see"):
        world.check()


def test_I15_fails_for_a_writer_that_forgets_the_old_field() -> None:
    device, old = World().devices[2::-2]
    with device.edit() as inventory:
        LensedProducts(inventory, [replace(PRICE, since=1)]).set_attribute("shirt", "price_c", 77)
    old.pull(device)
    assert old.look.attribute("shirt", "price") != 0.77

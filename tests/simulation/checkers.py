"""What must hold when a world has come to rest. Each check names the rule that it found broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crdt_sync.errors import SyncError
from crdt_sync.replica import replay
from server.rooms.presence import REMEMBER_S
from tests.simulation.bounds import LIMITS
from tests.simulation.contents import content_of
from tests.simulation.relay import open_history

if TYPE_CHECKING:
    from tests.simulation.world import World


def check_settled(world: World, when: str) -> None:
    _check_promises(world, when)
    _check_convergence(world, when)
    _check_presence(world, when)
    _check_movements(world, when)


def _check_promises(world: World, when: str) -> None:
    for rule, why in world.witness.lost_promises():
        world.witness.accuse(rule, f"an edit {why} is not in the relay's log {when}")


def _check_convergence(world: World, when: str) -> None:
    """P7: every actor holds what the relay's log holds, and shows the same."""
    witness = world.witness
    clocks = dict(witness.durable.clocks)
    first = world.actors[0]
    expected = first.content
    for actor in world.actors:
        if actor.state != clocks:
            witness.accuse("P7", f"{actor.name} does not hold what the relay's log holds, {when}")
        if actor.content != expected:
            witness.accuse("P7", f"{actor.name} and {first.name} show different documents {when}")


def _check_presence(world: World, when: str) -> None:
    """P11: everyone sees exactly those who are connected."""
    here = {actor.presence_id for actor in world.actors}
    # Over a slow connection a ghost may arrive when its farewell is forgotten already; then it goes by itself.
    forgotten = {i for i, at_s in world.witness.left_at_s.items() if world.witness.now_s - at_s >= REMEMBER_S}
    for actor in world.actors:
        seen = actor.sees() | {actor.presence_id}
        ghosts, missed = seen - here - forgotten, here - seen
        if ghosts:
            world.witness.accuse("P11", f"{actor.name} sees {len(ghosts)} who are gone, {when}")
        if missed:
            world.witness.accuse("P11", f"{actor.name} does not see {len(missed)} who are here, {when}")


def _check_movements(world: World, when: str) -> None:
    """P21: for everyone, every movement says what it said at first."""
    for actor in world.actors:
        content = actor.content
        movements = {**content["mv"], **content["orig"]}
        if movements != world.witness.firsts:
            changed = sorted(mid for mid, row in world.witness.firsts.items() if movements.get(mid) != row)
            world.witness.accuse("P21", f"{actor.name} reads movements {changed} otherwise than at first, {when}")


def check_storage(world: World) -> None:
    """The relay's disk, read in every way that there is, says what the actors hold."""
    disk, witness = world.relay.disk, world.witness
    world.relay.check_disk()
    expected = world.actors[0].content
    try:
        whole_log = replay([record.update for record in disk.archive], LIMITS)
        if content_of(whole_log._doc) != expected or dict(whole_log.state) != dict(witness.durable.clocks):
            witness.accuse("P7", "the replay of the relay's whole log differs from what its readers hold")
        if disk.snapshot is None:
            return
        history = open_history(disk.load())
        compacted = replay([history.snapshot, *history.tail()], LIMITS)
        if content_of(compacted._doc) != expected or dict(compacted.state) != dict(whole_log.state):
            witness.accuse("P12", "snapshot and tail differ from the whole log")
    except SyncError as error:
        witness.accuse("P8", f"the relay's log can't be replayed: {error}")

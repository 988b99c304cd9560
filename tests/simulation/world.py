"""One seeded world: actors, a network and a relay; every step is drawn from the seed, so a seed is a history."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from random import Random
from typing import Final
from zlib import crc32

from crdt_sync.errors import StoreCorrupted, SyncError
from server.rooms.room import Room
from tests.simulation import checkers
from tests.simulation.actors import Actor, Browser, Till
from tests.simulation.disk import Failure
from tests.simulation.network import Link
from tests.simulation.relay import Port, Relay, SimulatedHost
from tests.simulation.witness import Violation, Witness

STEPS: Final = 200
TRIES: Final = 4
SETTLING_ROUNDS_MAX: Final = 400


class _Menu:
    """Acts and how often each is chosen."""

    def __init__(self, acts: Mapping[Callable[[], bool], float]) -> None:
        self._acts, self._weights = list(acts), list(accumulate(acts.values()))

    def one(self, chance: Random) -> bool:
        """Do one act; one that finds nothing to do does not count."""
        return any(act() for act in chance.choices(self._acts, cum_weights=self._weights, k=TRIES))


@dataclass(frozen=True, slots=True)
class Cast:
    """What a world is made of. A planted bug takes the place of one of them."""

    till: type[Till] = Till
    browser: type[Browser] = Browser
    room: type[Room] = Room
    host: type[SimulatedHost] = SimulatedHost


class World:
    """Runs ``steps`` random steps, lets everything settle, restarts everything, settles again, and judges."""

    def __init__(self, seed: int, cast: Cast | None = None) -> None:
        cast = cast or Cast()
        self.seed = seed
        self.witness = Witness()
        self._chance = Random(seed)
        self._cast = cast
        self._links = 0
        self.relay = Relay(self.witness, cast.host, cast.room)
        self.is_hostile = self._chance.random() < 0.35
        """Connections of tills drop, repeat and reorder; until the end, when all get clean ones."""
        self.actors: list[Till | Browser] = [self._till(f"till-{i}") for i in range(self._chance.randint(1, 3))]
        self.actors += [self._browser(f"page-{i}") for i in range(self._chance.randint(1, 3))]

    @property
    def trace(self) -> Sequence[str]:
        return self.witness.trace

    @property
    def reach(self) -> Mapping[str, int]:
        return self.witness.reach

    @property
    def violations(self) -> Sequence[Violation]:
        return self.witness.violations

    def _till(self, name: str) -> Till:
        return self._cast.till(name, Random(self._chance.getrandbits(64)), self.witness)

    def _browser(self, name: str) -> Browser:
        return self._cast.browser(name, Random(self._chance.getrandbits(64)), self.witness)

    def _draw_acts(self) -> tuple[_Menu, _Menu, _Menu]:
        """Each seed likes some acts and avoids others, so that a batch of seeds reaches odd corners together."""
        moves = {self._deliver: 5.0, self._pump: 2.0, self._relay_step: 4.0}
        sync = self._chance.choice((0.5, 4.0))
        deeds = {self._edit: 4.0, self._sync_disk: sync, self._connect: 6.0, self._start: 4.0, self._announce: 1.0,
                 self._notice: 4.0, self._tidy: 0.7}  # fmt: skip
        trouble = {
            self._cut: 1.5, self._crash_peer: 0.8, self._crash_relay: 0.5, self._crash_relay_in_turn: 2.5,
            self._partition: 0.8, self._break_store: 0.4, self._begin_compaction: 4.0, self._install_compaction: 4.0,
            self._call_it_a_day: 0.4, self._slow_down: 2.5,
        }  # fmt: skip
        mood = {act: weight * self._chance.choice((0.2, 1, 3)) for act, weight in trouble.items()}
        return _Menu(moves), _Menu(deeds), _Menu(mood)

    def run(self, steps: int = STEPS) -> World:
        try:
            self._live(steps)
        except SyncError as error:
            rule = "P8" if isinstance(error, StoreCorrupted) else "P7"
            self.witness.accuse(rule, f"{type(error).__name__}: {error}")
        return self

    def _live(self, steps: int) -> None:
        for actor in self.actors:
            actor.start()
        moves, deeds, trouble = self._draw_acts()
        unrest, briskness = self._chance.choice((0.02, 0.05, 0.1, 0.3)), self._chance.choice((1, 3, 6))
        for _ in range(steps):
            self._pass_time(self._chance.random())
            menu = trouble if self._chance.random() < unrest else deeds
            menu.one(self._chance)
            for _ in range(self._chance.randint(0, briskness)):
                moves.one(self._chance)
        self._settle_as_it_is()
        checkers.check_settled(self, "with its connections as they were")
        self._restart_everything()
        checkers.check_settled(self, "after a restart of everything")
        checkers.check_storage(self)

    def _pass_time(self, seconds: float) -> None:
        self.witness.now_s += seconds
        for actor in self.actors:
            if actor.link is not None and not actor.link.is_cut and actor.link.is_dead(self.witness.now_s):
                actor.link.cut()
                self.witness.note(f"{actor.name}'s connection answers no pings")

    # Acts: each does one thing and says whether there was anything to do.

    def _pick(self, actors: Sequence[Till | Browser]) -> Till | Browser | None:
        return self._chance.choice(actors) if actors else None

    def _edit(self) -> bool:
        actor = self._pick([actor for actor in self.actors if actor.is_up])
        if actor is None:
            return False
        actor.edit()
        self.witness.note(f"{actor.name} edits {actor.serial}")
        self.witness.reached("edits")
        return True

    def _sync_disk(self) -> bool:
        actor = self._pick([actor for actor in self.actors if isinstance(actor, Till) and actor.disk.is_dirty])
        return actor is not None and actor.sync_disk()

    def _tidy(self) -> bool:
        actor = self._pick([actor for actor in self.actors if isinstance(actor, Till) and actor.is_up])
        return isinstance(actor, Till) and actor.tidy()

    def _start(self) -> bool:
        if not self.relay.is_up:
            self.relay.is_up = True
            self.witness.note("relay starts")
            return True
        actor = self._pick([actor for actor in self.actors if not actor.is_up])
        if actor is None:
            return False
        actor.start()
        self.witness.note(f"{actor.name} starts")
        return True

    def _connect(self) -> bool:
        up = [actor for actor in self.actors if actor.is_up and not actor.is_partitioned]
        actor = self._pick([actor for actor in up if self._may_reconnect(actor)])
        if actor is None or not self.relay.is_up:
            return False
        self._link(actor, hostile=self.is_hostile and isinstance(actor, Till), pace=self._chance.choice((0.1, 0.6, 1)))
        return True

    def _may_reconnect(self, actor: Actor) -> bool:
        link = actor.link
        return link is None or link.is_cut or (link.is_ended and not link.down)

    def _link(self, actor: Actor, *, hostile: bool, pace: float) -> None:
        if actor.link is not None:
            actor.hang_up()
            self.witness.reached("reconnects")
        self._links += 1
        link = Link(self._links, pace, hostile=hostile)
        self.relay.accept(link, actor.name, actor.dialect)
        actor.attach(link)
        self.witness.note(f"{actor.name} connects as {link.number}{' over a hostile network' if hostile else ''}")
        self.witness.reached("hostile connections", hostile)

    def _deliver(self) -> bool:
        moving = [actor for actor in self.actors if not actor.is_partitioned and actor.link and actor.link.is_moving]
        actor = self._pick(moving)
        if actor is None or actor.link is None or self._chance.random() > actor.link.pace:
            return False
        moved = 0
        for _ in range(self._chance.randint(1, 4)):
            first, second = self._chance.choices((self._deliver_down, self._deliver_up), k=2)
            moved += first(actor) or second(actor)
        return moved > 0

    def _deliver_down(self, actor: Actor) -> bool:
        link = actor.link
        if link is None or not link.down:
            return False
        for frame in link.down.arrive(self._chance, self.witness.now_s):
            self.witness.note(f"{actor.name} hears {crc32(frame):08x} ({len(frame)} bytes)")
            actor.hear(frame)
        return True

    def _deliver_up(self, actor: Actor) -> bool:
        link = actor.link
        if link is None or not link.up:
            return False
        port = next((port for port in self.relay.ports if port.link is link), None)
        if port is None or not self.relay.may_hear(port):
            return False
        for frame in link.up.arrive(self._chance, self.witness.now_s):
            self.witness.note(f"relay hears {crc32(frame):08x} from {actor.name}")
            self.relay.hear(port, frame)
        return True

    def _pump(self) -> bool:
        ports = [port for port in self.relay.ports if port.has_work and not port.link.is_cut]
        if not ports:
            return False
        self._chance.choice(ports).pump()
        return True

    def _relay_step(self) -> bool:
        return self.relay.step(self.witness.now_s)

    def _notice(self) -> bool:
        gone = [port for port in self.relay.ports if self._is_gone(port)]
        if not gone:
            return False
        port = self._chance.choice(gone)
        self.witness.note(f"relay notices that {port.link.number} is gone")
        self.relay.notice(port)
        return True

    def _is_gone(self, port: Port) -> bool:
        return port.link.is_cut or port.is_done

    def _announce(self) -> bool:
        actor = self._pick([actor for actor in self.actors if actor.is_linked])
        if actor is None:
            return False
        actor.announce()
        return True

    def _cut(self) -> bool:
        actor = self._pick([actor for actor in self.actors if actor.link and not actor.link.is_cut])
        if actor is None or actor.link is None:
            return False
        actor.link.cut()
        self.witness.note(f"{actor.name}'s connection is cut")
        self.witness.reached("cuts")
        return True

    def _slow_down(self) -> bool:
        actor = self._pick([actor for actor in self.actors if actor.is_linked])
        if actor is None or actor.link is None:
            return False
        actor.link.pace = self._chance.choice((0.0, 0.05, 1))
        return True

    def _partition(self) -> bool:
        actor = self._chance.choice(self.actors)
        actor.is_partitioned = not actor.is_partitioned
        self.witness.note(f"{actor.name} is {'cut off' if actor.is_partitioned else 'back'}")
        self.witness.reached("partitions", actor.is_partitioned)
        return True

    def _crash_peer(self) -> bool:
        actor = self._pick([actor for actor in self.actors if actor.is_up])
        if actor is None:
            return False
        actor.crash()
        self.witness.note(f"{actor.name} crashes")
        return True

    def _crash_relay(self) -> bool:
        if not self.relay.is_up:
            return False
        self.relay.crash(self._chance)
        self.witness.note("relay crashes")
        return True

    def _crash_relay_in_turn(self) -> bool:
        """The same at the worst moment: something is decided, or on disk, and nobody was told."""
        host = self.relay.host
        return host is not None and host.turn is not None and bool(host.turn.kept) and self._crash_relay()

    def _break_store(self) -> bool:
        self.relay.disk.next_failure = self._chance.choice(list(Failure))
        return True

    def _begin_compaction(self) -> bool:
        return self.relay.host is not None and self.relay.host.begin_compaction()

    def _install_compaction(self) -> bool:
        return self.relay.host is not None and self.relay.host.install_compaction()

    def _call_it_a_day(self) -> bool:
        """Everybody leaves, and the room is closed."""
        for actor in self.actors:
            actor.hang_up()
        self.witness.note("everybody leaves")
        while self._notice() or self._relay_step():
            pass
        return self.relay.close_idle()

    # The end.

    def _settle_as_it_is(self) -> None:
        """Trouble stops. Clean connections stay, so what they should have been told must come over them."""
        self.witness.note("trouble stops")
        self.relay.is_up = True
        self.relay.disk.next_failure = None
        for actor in self.actors:
            actor.is_partitioned = False
            if not actor.is_up:
                actor.start()
            if actor.link is not None and actor.link.hostile:
                actor.link.cut()
        self.settle()

    def _restart_everything(self) -> None:
        self.witness.note("everything restarts")
        self.relay.check_disk()
        self.relay.crash(self._chance)
        self.relay.is_up = True
        for actor in self.actors:
            if isinstance(actor, Till):
                actor.crash()
                actor.start()
            actor.hang_up()
        newcomers: list[Till | Browser] = [self._till("new-till"), self._browser("new-page")]
        for actor in newcomers:
            actor.start()
        self.actors += newcomers
        self.settle()

    def settle(self) -> None:
        """Move everything until nothing is left to move, and once more after everybody has said hello."""
        is_greeted = False
        for _ in range(SETTLING_ROUNDS_MAX):
            if self._settling_round():
                continue
            if is_greeted:
                return
            is_greeted = True
            for actor in self.actors:
                actor.announce()
        self.witness.accuse("P7", f"the world does not come to rest in {SETTLING_ROUNDS_MAX} rounds")

    def _settling_round(self) -> bool:
        self._pass_time(1)
        moved = self._install_compaction()
        while self._notice():
            moved = True
        for actor in self.actors:
            if self._may_reconnect(actor):
                self._link(actor, hostile=False, pace=1)
                moved = True
            moved |= actor.sync_disk()
            while self._deliver_down(actor) or self._deliver_up(actor):
                moved = True
        while self._relay_step():
            moved = True
        for port in self.relay.ports:
            if port.has_work and not port.link.is_cut:
                port.pump()
                moved = True
        return moved

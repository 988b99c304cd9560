"""How many updates per second does the relay take from its peers onto the disk, and how long does an ack take?

Back of the envelope, before the first run. The relay and this load generator share two cores. An update costs the
relay a frame through uvicorn and Starlette (60 us), decode and gate (12 us), its share of a commit (20 us) and one
ack (40 us): about 130 us, so some 7,000/s at the most with many writers, and some 700/s for one writer that waits for
each ack, of which the commit is a third. What other members are sent is not counted here: every writer has a room of
its own.

Run: python -m benchmarks.relay_acks [--seconds-per-row S]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from websockets.asyncio.client import connect

from crdt_sync.limits import DEFAULT_LIMITS
from crdt_sync.protocol import multiplexed
from crdt_sync.protocol.messages import Ack, NewUpdate, StateReply, StateRequest
from crdt_sync.replica import Replica, Write
from crdt_sync.updates.pieces import EMPTY_UPDATE
from server.auth.tokens import issue_token

WRITERS = (1, 10, 50)
IN_FLIGHT = (1, 32)


@dataclass(frozen=True, slots=True)
class Row:
    writers: int
    in_flight: int
    acked_per_s: float
    p50_ms: float
    p99_ms: float


@contextmanager
def running_relay(folder: Path) -> Iterator[str]:
    """A relay in a process of its own; gives its host and port."""
    command = [sys.executable, "-m", "server", "serve", "--port", "0", "--data", str(folder)]
    environment = {**os.environ, "CRDT_SYNC_LOG_LEVEL": "error"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as relay:
        assert relay.stdout is not None
        try:
            yield relay.stdout.readline().strip().rpartition("/")[2]
        finally:
            relay.terminate()


async def write(url: str, token: str, document: str, in_flight: int, until_s: float) -> list[float]:
    """Keep ``in_flight`` updates under way until the time is up; return how long each waited for its ack."""
    replica = Replica()
    waits_s: list[float] = []
    sent_at_s: list[float] = []
    async with connect(url, additional_headers={"Authorization": f"Bearer {token}"}, compression=None) as socket:
        await socket.send(multiplexed.encode(document, StateRequest({})))
        await socket.send(multiplexed.encode(document, StateReply(EMPTY_UPDATE)))
        acked = -1
        while acked < len(sent_at_s) or time.perf_counter() < until_s:
            while len(sent_at_s) - max(acked, 0) < in_flight and time.perf_counter() < until_s:
                key = f"{replica.client_id:x}.{len(sent_at_s)}"
                update = replica.write(
                    [Write("mv", key, ["sale", "22423", "France", 3, "till-1", 895_000_000_000_000])]
                )
                assert update is not None
                sent_at_s.append(time.perf_counter())
                await socket.send(multiplexed.encode(document, NewUpdate(update)))
            frame = await socket.recv(decode=False)
            _, message = multiplexed.decode(bytes(frame), DEFAULT_LIMITS)
            if isinstance(message, Ack):
                now_s = time.perf_counter()
                # The first ack counts the empty answer that opened the conversation.
                through = message.through - 1
                waits_s += [now_s - at_s for at_s in sent_at_s[max(acked, 0) : through]]
                acked = through
    return waits_s


async def measure(address: str, token: str, writers: int, in_flight: int, seconds: float) -> Row:
    url = f"ws://{address}/sync/bench"
    began_s = time.perf_counter()
    rooms = [f"acks/{writers}-{in_flight}-{number}" for number in range(writers)]
    results = await asyncio.gather(*(write(url, token, room, in_flight, began_s + seconds) for room in rooms))
    took_s = time.perf_counter() - began_s
    waits_ms = sorted(1000 * wait_s for result in results for wait_s in result)
    p99_ms = waits_ms[len(waits_ms) * 99 // 100]
    return Row(writers, in_flight, len(waits_ms) / took_s, statistics.median(waits_ms), p99_ms)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds-per-row", type=float, default=3.0)
    seconds = parser.parse_args().seconds_per_row
    with tempfile.TemporaryDirectory() as folder, running_relay(Path(folder)) as address:
        token = issue_token(
            Path(folder) / "secret.key", tenant="bench", role="operator", ttl_s=3_600, now_s=time.time()
        )
        print(f"{'writers':>8} {'in flight':>10} {'acked/s':>9} {'p50 ms':>8} {'p99 ms':>8}")
        for writers in WRITERS:
            for in_flight in IN_FLIGHT:
                row = asyncio.run(measure(address, token, writers, in_flight, seconds))
                waits = f"{row.p50_ms:>8.2f} {row.p99_ms:>8.2f}"
                print(f"{row.writers:>8} {row.in_flight:>10} {row.acked_per_s:>9,.0f} {waits}")


if __name__ == "__main__":
    main()

"""What does it cost to count a message against its connection's, its user's and its tenant's share?

In processor time. Back of the envelope, before the first run: in the common case a message is two subtractions and two
comparisons in a method of Python: 0.1 us. Every 32nd message, or every 64 KiB, six buckets are charged at 0.4 us each,
and a coroutine is awaited: 3 us, a tenth of a microsecond for each message. The bar is one microsecond.

Run: python -m benchmarks.quotas
"""

from __future__ import annotations

import asyncio
import time
import tracemalloc

from crdt_sync.limits import Limits
from server.auth.grants import DocumentPattern, Grant, Role
from server.telemetry.meters import Meters
from server.web.buckets import Bucket
from server.web.quotas import Quotas

MESSAGES = 1_000_000
SIZES_BYTES = (30, 1_000, 16_000)
UNREACHED = 1 << 40
"""Rates that are never reached: what is measured is the counting, not the waiting."""


def grant_of(subject: str) -> Grant:
    return Grant(subject, "bench", (DocumentPattern("*"),), Role.OPERATOR, 2_000_000_000, "token")


def quotas() -> Quotas:
    names = ("messages_per_s", "bytes_per_s")
    rates = {f"{whose}_{name}": UNREACHED for whose in ("connection", "user", "tenant") for name in names}
    return Quotas(Limits(**rates, user_connections_max=UNREACHED, address_connections_max=UNREACHED), Meters())


async def message_us(size_bytes: int) -> float:
    with quotas().staying("192.0.2.1", grant_of("ada")) as stay:
        pace = stay.pace
        began_s = time.process_time()
        for _ in range(MESSAGES):
            if not pace.covers(size_bytes):
                await pace.pay()
        return (time.process_time() - began_s) / MESSAGES * 1e6


def bucket_us() -> float:
    bucket = Bucket(UNREACHED, UNREACHED, 0.0)
    began_s = time.process_time()
    for _ in range(MESSAGES):
        bucket.take(1, time.monotonic())
    return (time.process_time() - began_s) / MESSAGES * 1e6


def connection_cost() -> tuple[float, float]:
    """Microseconds to come and go, and bytes while it stays."""
    shared, count = quotas(), 2_000
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    staying = [shared.staying("192.0.2.1", grant_of("ada")) for _ in range(count)]
    for each in staying:
        each.__enter__()
    held = (tracemalloc.get_traced_memory()[0] - before) / count
    tracemalloc.stop()
    for each in staying:
        each.__exit__(None, None, None)
    began_s = time.process_time()
    for _ in range(count):
        with shared.staying("192.0.2.1", grant_of("ada")):
            continue
    return (time.process_time() - began_s) / count * 1e6, held


def main() -> None:
    print(f"{'message of':>12} {'us each':>8}")
    for size_bytes in SIZES_BYTES:
        print(f"{size_bytes:>10} B {asyncio.run(message_us(size_bytes)):>8.2f}")
    print(f"one bucket, for comparison: {bucket_us():.2f} us")
    us, held = connection_cost()
    print(f"a connection: {us:.1f} us to come and go, {held:,.0f} bytes while it is here")


if __name__ == "__main__":
    main()

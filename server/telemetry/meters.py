"""What the relay counts, on a registry of its own. Reference for operators: the help texts below.

No label takes a value that a client chooses: a client could otherwise fill the memory with time series.
"""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

COMMIT_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
ACK_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
TURN_BUCKETS_UPDATES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Meters:
    """One relay's meters. Every part of the relay is given the same object and touches only what it knows."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._registry = registry

        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"crdt_sync_{name}", help_text, labels, registry=registry)

        def gauge(name: str, help_text: str) -> Gauge:
            return Gauge(f"crdt_sync_{name}", help_text, registry=registry)

        def histogram(name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"crdt_sync_{name}", help_text, labels, buckets=buckets, registry=registry)

        self.connections = gauge("connections", "WebSocket connections open now.")
        self.connections_opened = counter("connections_opened", "WebSocket connections accepted.")
        self.connections_closed = counter(
            "connections_closed", "WebSocket connections closed, by the close code sent or received.", "code"
        )
        self.rooms = gauge("rooms", "Rooms open now, each holding one document's ledger in memory.")
        self.members = gauge("members", "Members in all rooms: one connection may be in several.")
        self.members_shed = counter("members_shed", "Members cut off because they did not read what they were sent.")

        self._meter_updates(counter)
        self.received_bytes = counter("received_bytes", "Bytes of WebSocket messages received.")
        self.sent_bytes = counter("sent_bytes", "Bytes of WebSocket messages sent.")
        self.stored_bytes = counter("stored_bytes", "Bytes of updates that are on disk.")

        self.turns = counter("turns", "Turns: one batch of messages decided, committed and told.")
        self.turn_updates = histogram("turn_updates", "Updates stored together in one turn.", TURN_BUCKETS_UPDATES)
        self.commit_seconds = histogram(
            "commit_seconds", "From handing a turn's updates to the store until they are on disk.", COMMIT_BUCKETS_S
        )
        self.ack_seconds = histogram(
            "ack_seconds", "From receiving an update until its acknowledgement is queued for sending.", ACK_BUCKETS_S
        )
        self.store_failures = counter(
            "store_failures", "Failures of the store, by the code of the error; each one closes a room.", "reason"
        )
        self.free_space_bytes = gauge("free_space_bytes", "Free bytes on the disk of the data directory.")

        self.auth_refusals = counter(
            "auth_refusals", "Requests refused for their credential or their rights, by reason.", "reason"
        )
        self.limits_reached = counter(
            "limits_reached", "Times that somebody was refused, cut off or slowed by a limit, by its name.", "limit"
        )
        self.limit_wait_seconds = counter(
            "limit_wait_seconds", "Time that connections were not read from because of a rate, by its name.", "limit"
        )
        self.half_open = gauge("half_open", "HTTP connections open now that have not sent a whole request.")
        self.unfinished_bytes = gauge("unfinished_bytes", "Bytes held now of WebSocket messages without an end.")
        self.audit_rows = counter("audit_rows", "Rows written to the audit logs.")
        self.audit_lost = counter("audit_lost", "Events that could not be put into the audit logs, and are in none.")
        self._meter_workers(counter)
        self._meter_scrubber(counter)

    def _meter_updates(self, counter: Callable[..., Counter]) -> None:
        self.updates_received = counter("updates_received", "Updates that arrived, before anything was decided.")
        self.updates_stored = counter("updates_stored", "Updates that were new and are on disk.")
        self.updates_known = counter("updates_known", "Updates that held nothing new: acknowledged, not stored.")
        self.updates_refused = counter(
            "updates_refused", "Updates refused, by the code of the error that their sender got.", "reason"
        )
        self.movements_changed = counter(
            "movements_changed",
            "Movements that somebody changed or deleted after they were written; the first content counts.",
        )
        self.structs_carried = counter(
            "structs_carried", "Elements that somebody brought, because they were asked for, under another's client id."
        )
        self.gaps_asked = counter(
            "gaps_asked",
            "Updates that hung on something missing: not kept, their sender was asked for what is missing.",
        )

    def _meter_workers(self, counter: Callable[..., Counter]) -> None:
        self.compactions = counter("compactions", "Logs replaced by a verified snapshot.")
        self.compactions_failed = counter(
            "compactions_failed", "Compactions given up, by the code of the error; the log stays.", "reason"
        )
        self.updates_quarantined = counter(
            "updates_quarantined", "Updates set aside because they end what loads them, and those that build on them."
        )
        self.scribe_deaths = counter("scribe_deaths", "Worker processes that crashed, hung or were out of memory.")

        self.steward_rounds = counter("steward_rounds", "Times that the steward went through a tenant's duties.")
        self.steward_failures = counter(
            "steward_failures", "Duties that the steward could not do, by name; the others went on.", "duty"
        )
        self.steward_deaths = counter("steward_deaths", "Steward processes that ended by themselves or were killed.")

    def _meter_scrubber(self, counter: Callable[..., Counter]) -> None:
        self.scrub_passes = counter("scrub_passes", "Times that the scrubber has read every document on disk.")
        self.scrubbed_documents = counter("scrubbed_documents", "Documents that the scrubber has found whole.")
        self.scrubbed_bytes = counter("scrubbed_bytes", "Bytes of updates and snapshots in them.")
        self.damage_found = counter(
            "damage_found",
            "Times that the scrubber has found damage; readable: all is there in another copy, such as the log.",
            "readable",
        )

    def render(self) -> tuple[bytes, str]:
        """Every meter in Prometheus' text format, and the content type to send it with."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST

"""What the relay counts."""

from __future__ import annotations

import re

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from server.telemetry.meters import Meters


def test_every_meter_has_a_name_of_ours_and_a_sentence_of_help() -> None:
    families = list(text_string_to_metric_families(Meters().render()[0].decode()))
    assert len(families) > 20
    for family in families:
        assert re.fullmatch(r"crdt_sync_[a-z_]+", family.name), family.name
        assert family.documentation.endswith("."), family.name


def test_counters_end_in_total_and_times_in_seconds() -> None:
    meters = Meters()
    meters.updates_refused.labels(reason="malformed-update").inc()
    meters.commit_seconds.observe(0.0004)
    meters.connections.inc()
    text = meters.render()[0].decode()
    assert 'crdt_sync_updates_refused_total{reason="malformed-update"} 1.0' in text
    assert 'crdt_sync_commit_seconds_bucket{le="0.0005"} 1.0' in text
    assert "crdt_sync_connections 1.0" in text
    for family in text_string_to_metric_families(text):
        if family.type == "histogram":
            assert family.name.endswith(("_seconds", "_updates"))


def test_two_relays_in_one_process_count_for_themselves() -> None:
    first, second = Meters(), Meters()
    first.turns.inc()
    assert b"crdt_sync_turns_total 1.0" in first.render()[0]
    assert b"crdt_sync_turns_total 0.0" in second.render()[0]
    assert not [family for family in REGISTRY.collect() if family.name.startswith("crdt_sync")]


def test_the_content_type_says_what_prometheus_expects() -> None:
    assert Meters().render()[1].startswith("text/plain; version=")

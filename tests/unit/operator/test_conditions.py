from datetime import UTC, datetime, timedelta

import pytest

from modelyard_core.reasons import Reason
from modelyard_operator.api.conditions import (
    MAX_MESSAGE_LENGTH,
    Claim,
    Condition,
    Truth,
    find,
    overlay,
    settle,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
READY = Claim("Ready", Truth.TRUE, "Serving", "Version 3 serves.")
STALLED = Claim("Stalled", Truth.FALSE, "Moving")


def settled(*claims, previous=(), generation=1, now=NOON):
    return settle(previous, claims, generation=generation, now=now)


def test_a_new_condition_starts_now():
    (ready,) = settled(READY)

    assert (ready.status, ready.last_transition_time) == (Truth.TRUE, NOON)


def test_time_has_whole_seconds_so_that_it_survives_the_wire():
    (ready,) = settled(READY, now=NOON.replace(microsecond=5))

    assert ready.last_transition_time == NOON


@pytest.mark.parametrize(
    ("status", "since"),
    [
        pytest.param(Truth.TRUE, NOON, id="the-same-truth-keeps-its-time"),
        pytest.param(Truth.FALSE, LATER, id="another-truth-starts-now"),
        pytest.param(Truth.UNKNOWN, LATER, id="unknown-is-another-truth"),
    ],
)
def test_time_moves_only_with_the_truth(status, since):
    before = settled(READY)
    (ready,) = settled(Claim("Ready", status, "Other", "…"), previous=before, now=LATER)

    assert ready.last_transition_time == since


def test_reason_and_message_are_always_the_newest():
    before = settled(READY)
    (ready,) = settled(Claim("Ready", Truth.TRUE, "Other", "New."), previous=before, now=LATER)

    assert (ready.reason, ready.message) == ("Other", "New.")


def test_every_condition_names_its_generation():
    assert [c.observed_generation for c in settled(READY, STALLED, generation=7)] == [7, 7]


def test_conditions_come_in_the_order_of_the_claims():
    before = settled(STALLED, READY)

    assert [c.type for c in settled(READY, STALLED, previous=before)] == ["Ready", "Stalled"]


def test_what_is_not_claimed_is_gone():
    before = settled(READY, STALLED)

    assert [c.type for c in settled(READY, previous=before)] == ["Ready"]


def test_settling_twice_changes_nothing():
    once = settled(READY, STALLED)

    assert settled(READY, STALLED, previous=once, now=LATER) == once


def test_a_message_has_an_upper_bound():
    (ready,) = settled(Claim("Ready", Truth.TRUE, "X", "x" * 9999))

    assert len(ready.message) == MAX_MESSAGE_LENGTH


def test_a_condition_renders_a_reason_with_its_remedy():
    reason = Reason("QuotaUsedUp", "rain", "No pod fits.", remedy="Raise the quota.")

    assert Claim.because("Ready", Truth.FALSE, reason) == Claim(
        "Ready", Truth.FALSE, "QuotaUsedUp", "No pod fits. Raise the quota."
    )


def test_an_overlay_replaces_in_place_and_appends_what_is_new():
    status = {"phase": "Running", "conditions": [c.to_json() for c in settled(READY)]}
    claims = (Claim("Stalled", Truth.TRUE, "Denied", "no"), Claim("Ready", Truth.FALSE, "Denied"))

    result = overlay(status, claims, before={}, generation=2, now=LATER)

    assert [(c["type"], c["status"]) for c in result["conditions"]] == [
        ("Ready", "False"),
        ("Stalled", "True"),
    ]
    assert (result["phase"], result["observedGeneration"]) == ("Running", 2)


def test_an_overlay_that_lasts_keeps_its_time():
    claim = Claim("Stalled", Truth.TRUE, "Denied", "no")
    first = overlay({}, [claim], before={}, generation=1, now=NOON)

    assert overlay({}, [claim], before=first, generation=1, now=LATER) == first


def test_a_condition_is_found_by_its_type():
    assert find(settled(READY, STALLED), "Stalled").reason == "Moving"
    assert find(settled(READY), "Stalled") is None


def test_conditions_go_over_the_wire_and_back():
    (ready,) = settled(READY)

    assert ready.to_json()["lastTransitionTime"] == "2026-01-01T12:00:00Z"
    assert Condition.model_validate(ready.to_json()) == ready

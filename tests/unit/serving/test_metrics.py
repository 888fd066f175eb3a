"""The page that Prometheus reads: the reference is its own client library, which is not in the image."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from modelyard_core.roles import Role
from modelyard_serving import exposition, process_metrics
from modelyard_serving.metrics import Metrics

STEADY = {"process_start_time_seconds", "process_max_fds", "python_info"}


def read(page: bytes) -> dict:
    """Return the samples by name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
    }


def kinds(page: bytes) -> set:
    return {
        (family.name, family.type, family.documentation)
        for family in text_string_to_metric_families(page.decode())
    }


@given(st.dictionaries(st.from_regex(r"[a-z][a-z_]{0,7}", fullmatch=True), st.text()), st.floats())
def test_a_sample_reads_back_as_what_it_was(labels, value):
    family = exposition.single("modelyard_thing", "gauge", "Anything.", value, labels)

    ((name, found),) = read(exposition.render([family])).items()

    assert name == ("modelyard_thing", tuple(sorted(labels.items())))
    assert found == pytest.approx(value, nan_ok=True, rel=0, abs=0)


def test_the_process_shows_what_the_library_would_show():
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    theirs = generate_latest(registry)

    ours = exposition.render(process_metrics.collect())

    assert kinds(ours) == kinds(theirs)
    reference = read(theirs)
    for key, value in read(ours).items():
        tolerance = 0.1 if key[0] in STEADY else reference[key] / 2 + 8
        assert value == pytest.approx(reference[key], abs=tolerance)


def test_a_histogram_counts_up_to_each_bound():
    metrics = Metrics("rain", "1", "sha256:0", "r1")
    for seconds in (0.0001, 0.0005, 0.02, 60.0):
        metrics.answered(Role.DIRECT, 200, seconds)
    metrics.answered(Role.CANARY, 503, 0.1)

    found = read(metrics.render())

    name = "modelyard_request_duration_seconds"
    who = (("model", "rain"), ("role", "direct"), ("version", "1"))
    cells = {
        dict(labels)["le"]: value
        for (sample, labels), value in found.items()
        if sample == f"{name}_bucket" and ("role", "direct") in labels
    }
    assert cells["0.0005"] == 2
    assert cells["0.01"] == 2
    assert cells["0.025"] == 3
    assert cells["10.0"] == 3
    assert cells["+Inf"] == found[f"{name}_count", who] == 4
    assert found[f"{name}_sum", who] == pytest.approx(60.0206)
    assert found["modelyard_requests_total", (("code", "200"), *who)] == 4


def test_what_goes_on_is_shown_as_it_is_now():
    metrics = Metrics("rain", "1", "sha256:0", "r1")
    labels = (("digest", "sha256:0"), ("model", "rain"), ("revision", "r1"), ("version", "1"))

    with metrics.in_flight.track_inprogress():
        during = read(metrics.render())
    metrics.is_ready = lambda: True
    after = read(metrics.render())

    assert during["modelyard_inflight_requests", ()] == 1
    assert during["modelyard_ready", ()] == 0
    assert after["modelyard_inflight_requests", ()] == 0
    assert after["modelyard_ready", ()] == 1
    assert after["modelyard_model_info", labels] == 1

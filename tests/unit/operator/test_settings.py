import pytest

from modelyard_operator import settings

ENVIRONMENT = {
    "MODELYARD_TRAINING_IMAGE": "t:1",
    "MODELYARD_SERVING_IMAGE": "s:1",
    "MODELYARD_ROUTER_IMAGE": "r:1",
}


def read(**changes):
    return settings.read(ENVIRONMENT | changes)


def test_defaults_are_those_of_an_installation():
    found = read()

    assert (found.namespace, found.default_store_claim) == ("modelyard-system", "models")
    assert found.monitor_url == "http://modelyard-monitor.modelyard-system.svc:8080"
    assert (found.health_port, found.metrics_port) == (8081, 8080)


def test_the_monitor_is_looked_for_beside_the_operator():
    url = read(MODELYARD_NAMESPACE="ml").monitor_url

    assert url == "http://modelyard-monitor.ml.svc:8080"


@pytest.mark.parametrize(
    ("text", "namespaces"),
    [
        pytest.param("", (), id="empty-is-all"),
        pytest.param("b, a ,b,", ("a", "b"), id="a-list-with-spaces-and-repeats"),
    ],
)
def test_the_namespaces_to_watch(text, namespaces):
    assert read(MODELYARD_WATCH_NAMESPACES=text).watch_namespaces == namespaces


def test_an_image_that_is_missing_is_named():
    with pytest.raises(settings.BadSettings, match="MODELYARD_ROUTER_IMAGE is not set"):
        settings.read({k: v for k, v in ENVIRONMENT.items() if "ROUTER" not in k})


def test_a_port_must_be_a_number():
    with pytest.raises(settings.BadSettings, match="MODELYARD_HEALTH_PORT must be a whole number"):
        read(MODELYARD_HEALTH_PORT="eighty")

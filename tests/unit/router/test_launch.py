"""How Envoy is started, and where things are."""

from pathlib import Path

import yaml

from modelyard_core.routes import LATENCY_EDGES_MS
from modelyard_router import envoy_config, launch
from modelyard_router.settings import Settings, from_environment


def test_the_bootstrap_is_filled_in():
    document = yaml.safe_load(launch.bootstrap(Settings(xds=Path("/somewhere"), http_port=81)))

    assert document["stats_config"]["histogram_bucket_settings"][0]["buckets"] == list(
        LATENCY_EDGES_MS
    )
    assert document["dynamic_resources"]["cds_config"]["path_config_source"] == {
        "path": "/somewhere/cds.json",
        "watched_directory": {"path": "/somewhere"},
    }
    listeners = document["static_resources"]["listeners"]
    ports = [listener["address"]["socket_address"]["port_value"] for listener in listeners]
    assert ports == [81, 9000]
    for listener in listeners:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        assert manager["rds"]["route_config_name"] == envoy_config.ROUTE_CONFIG


def test_the_admin_interface_stays_in_the_pod():
    document = yaml.safe_load(launch.bootstrap(Settings()))

    assert document["admin"]["address"]["socket_address"]["address"] == "127.0.0.1"


def test_every_process_has_a_boot_id_of_its_own():
    first, second = (launch.arguments(Settings(), "") for _ in range(2))

    boot = first.index("--service-node") + 1
    assert first[boot] != second[boot]
    assert first[:boot] == second[:boot]


def test_settings_come_from_the_environment():
    environ = {
        "MODELYARD_ROUTER_XDS": "/elsewhere",
        "MODELYARD_ROUTER_CONCURRENCY": "4",
        "HOME": "",
    }

    assert from_environment(environ) == Settings(xds=Path("/elsewhere"), concurrency=4)

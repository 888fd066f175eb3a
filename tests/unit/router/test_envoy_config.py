"""A table's clusters and routes, held against golden files.

`python tests/unit/router/test_envoy_config.py` writes them anew.
"""

import json
from pathlib import Path

import pytest

from modelyard_core.routes import TOTAL_WEIGHT, Arm, Mirror, RouteTable
from modelyard_router import envoy_config

GOLDEN = Path(__file__).parent / "golden"
TABLES = {
    "stable": RouteTable(1, Arm("rain-aaaa", "rain-aaaa", 1000)),
    "canary": RouteTable(2, Arm("rain-aaaa", "rain-aaaa", 950), Arm("rain-bbbb", "rain-bbbb", 50)),
    "mirror": RouteTable(
        3,
        Arm("rain-aaaa", "rain-aaaa", 1000),
        Arm("rain-bbbb", "rain-bbbb", 0),
        Mirror("rain-bbbb", "rain-bbbb", 25),
    ),
}


def rendered(table):
    document = {
        "clusters": envoy_config.clusters(table, envoy_config.Ports()),
        "routes": envoy_config.routes(table),
    }
    return json.dumps(document, indent=1) + "\n"


@pytest.mark.parametrize("name", TABLES)
def test_the_configuration_is_the_golden_one(name):
    assert rendered(TABLES[name]) == (GOLDEN / f"{name}.json").read_text()


def weights(table):
    live = envoy_config.routes(table)[0]["virtual_hosts"][0]["routes"][-1]["route"]
    return [(part["name"], part["weight"]) for part in live["weighted_clusters"]["clusters"]]


@pytest.mark.parametrize("weight", [0, 1, 500, 1000])
def test_order_and_total_are_constant_along_a_ramp(weight):
    table = RouteTable(1, Arm("b", "b", TOTAL_WEIGHT - weight), Arm("a", "a", weight))

    assert weights(table) == [("b", TOTAL_WEIGHT - weight), ("a", weight)]


def test_only_revisions_with_traffic_need_an_address():
    stable, canary = ["rain-aaaa", "rain-aaaa_grpc"], ["rain-bbbb", "rain-bbbb_grpc"]

    assert envoy_config.clusters_with_traffic(TABLES["mirror"]) == stable
    assert envoy_config.clusters_with_traffic(TABLES["canary"]) == stable + canary


def test_a_cluster_knows_whose_addresses_it_has():
    found = envoy_config.clusters(TABLES["mirror"], envoy_config.Ports())

    assert {name: envoy_config.host(cluster) for name, cluster in found.items()} == {
        "rain-aaaa": "rain-aaaa",
        "rain-aaaa_grpc": "rain-aaaa",
        "rain-bbbb": "rain-bbbb",
        "rain-bbbb_grpc": "rain-bbbb",
        "mirror-rain-bbbb": "rain-bbbb",
    }


def test_a_mirror_at_zero_percent_keeps_its_cluster_and_copies_nothing():
    table = RouteTable(1, Arm("a", "a", 1000), mirror=Mirror("b", "b", 0))

    assert "mirror-b" in envoy_config.clusters(table, envoy_config.Ports())
    assert "mirror" not in json.dumps(envoy_config.routes(table))


def test_the_version_is_part_of_the_content():
    first, second = (envoy_config.routes(RouteTable(n, Arm("a", "a", 1000))) for n in (1, 2))

    assert envoy_config.content_version(first) != envoy_config.content_version(second)
    assert envoy_config.applied_version(second[0]) == 2
    assert envoy_config.applied_version(envoy_config.no_routes()[0]) is None


if __name__ == "__main__":
    for name, table in TABLES.items():
        (GOLDEN / f"{name}.json").write_text(rendered(table))

"""How the router's processes start and end."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace

from grpc import StatusCode

from modelyard_core import codec
from modelyard_router import launch
from modelyard_router.drain import drain
from support.envoy import PATIENCE, eventually, replace_file, table
from support.grpc_router import call, channel
from support.ports import free_port


def test_envoy_accepts_its_bootstrap(router):
    argv = [
        *launch.arguments(router.settings, launch.bootstrap(router.settings)),
        "--mode",
        "validate",
    ]

    done = subprocess.run(
        argv, check=False, executable=launch.binary(), capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr


def test_drain_waits_for_clients_and_for_one_more_reading(router):
    router.apply(table(1))
    connection = router.client()
    router.ask(connection)
    left = []
    leaving = threading.Thread(target=lambda: left.append(drain(router.settings)))

    leaving.start()
    eventually(router.ends_connections)
    assert leaving.is_alive()  # the first client is still connected
    router.ask(connection)
    eventually(lambda: router.envoy.open_connections() == 0)
    assert leaving.is_alive()  # nobody has read the counters since
    eventually(lambda: router.counters() and not leaving.is_alive())

    assert (left[0].idle, left[0].counted) == (True, True)


def test_a_leaving_router_sends_grpc_clients_away_after_their_calls(router, callees):
    router.apply(table(1))
    left = []
    leaving = threading.Thread(target=lambda: left.append(drain(router.settings)))

    with channel(router) as opened:
        before = call(opened)
        leaving.start()
        eventually(router.ends_connections)
        after = call(opened)
        eventually(lambda: router.envoy.open_connections() == 0)
        eventually(lambda: router.counters() and not leaving.is_alive())

    assert before[0] == after[0] == StatusCode.OK
    assert (left[0].idle, left[0].counted) == (True, True)


def test_clients_come_again_from_time_to_time_and_lose_nothing(router, callees):
    router.kill_envoy()
    router.settings = replace(router.settings, connection_seconds=0.5)
    router.start_envoy()
    router.apply(table(1))
    connection, ends = router.client(), set()

    with channel(router) as opened:

        def asked():
            ends.update((router.ask(connection)[0], call(opened)[0]))
            return router.connections() >= 8

        eventually(asked)

    assert ends == {200, StatusCode.OK}


def test_the_agents_process_serves_and_ends_on_sigterm(tmp_path):
    port = free_port()
    environ = {
        **os.environ,
        "MODELYARD_ROUTER_ROUTES_FILE": str(tmp_path / "routes.json"),
        "MODELYARD_ROUTER_XDS": str(tmp_path / "xds"),
        "MODELYARD_ROUTER_AGENT_PORT": str(port),
        "MODELYARD_ROUTER_ADMIN_PORT": str(free_port()),
    }
    argv = [sys.executable, "-m", "modelyard_router", "serve"]
    with subprocess.Popen(argv, env=environ, stderr=subprocess.PIPE, text=True) as agent:
        eventually((tmp_path / "xds" / "rds.json").exists)
        replace_file(tmp_path / "routes.json", codec.dumps(table(1)))
        line = json.loads(agent.stderr.readline())
        agent.send_signal(signal.SIGTERM)
        assert agent.wait(PATIENCE) == 0

    assert "Envoy does not answer" in line["waiting"]


def test_an_agent_that_is_too_busy_to_answer_is_asked_again(router):
    router.apply(table(1))
    reads, first, released = router.server.pages["/v1/reads"], iter([True]), threading.Event()

    def busy():
        if next(first, False):
            released.wait(PATIENCE)
        return reads()

    router.server.pages["/v1/reads"] = busy
    left = []
    leaving = threading.Thread(target=lambda: left.append(drain(router.settings)))
    leaving.start()
    eventually(lambda: router.counters() and not leaving.is_alive())
    released.set()

    assert (left[0].idle, left[0].counted) == (True, True)


def test_a_pod_whose_agent_is_gone_still_drains(router):
    router.apply(table(1))
    router.stop_agent()

    drained = drain(router.settings)

    assert (drained.idle, drained.counted) == (True, False)
    router.start_agent()

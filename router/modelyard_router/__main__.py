"""`modelyard-router serve` (the agent), `envoy` (becomes Envoy), `drain` (Envoy's preStop hook)."""

import argparse
import contextlib
import logging
import os
import queue
import signal
import sys
import threading

from modelyard_core import logs
from modelyard_router import launch
from modelyard_router.admin import EnvoyAdmin
from modelyard_router.agent import Agent
from modelyard_router.drain import drain
from modelyard_router.http_server import AgentServer
from modelyard_router.settings import Settings, from_environment

log = logging.getLogger("modelyard_router")
PATIENCE_SECONDS = 1.0


def main() -> None:
    """Run one of the three commands."""
    parser = argparse.ArgumentParser(prog="modelyard-router", description=__doc__)
    commands = {"serve": serve, "envoy": become_envoy, "drain": leave}
    parser.add_argument("command", choices=commands)
    command = parser.parse_args().command
    logs.to_standard_error()
    commands[command](from_environment(os.environ))  # noqa: TID251  (handed to settings)


def serve(settings: Settings) -> None:
    """Run the agent until SIGTERM, or until it fails."""
    # A handler runs between two instructions of the main thread, maybe while that holds the lock of
    # an Event or a Condition; a SimpleQueue may be filled at any moment.
    asked: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        # process 1 of a container has no default action
        signal.signal(number, lambda number, _: asked.put(number))
    stop, agent = threading.Event(), Agent(settings)
    server = AgentServer(settings.agent_port, agent, EnvoyAdmin(settings.admin_port))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    work = threading.Thread(target=agent.run, args=(stop,), daemon=True)
    work.start()
    has_failed = _wait(asked, work)
    stop.set()
    work.join(PATIENCE_SECONDS)
    server.shutdown()
    if has_failed:
        sys.exit("the agent has failed")


def _wait(asked: queue.SimpleQueue[int], work: threading.Thread) -> bool:
    """Wait until somebody asks to stop (False) or the work has ended by itself (True)."""
    while work.is_alive():
        with contextlib.suppress(queue.Empty):
            asked.get(timeout=PATIENCE_SECONDS)
            return False
    return True


def become_envoy(settings: Settings) -> None:
    """Replace this process by Envoy."""
    arguments = launch.arguments(settings, launch.bootstrap(settings))
    os.execv(launch.binary(), arguments)  # noqa: S606  (no shell)


def leave(settings: Settings) -> None:
    """Drain Envoy."""
    log.info("drained %s", drain(settings))


if __name__ == "__main__":
    main()

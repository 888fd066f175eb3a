"""The composition root: adapters in, a running replica out.

standby: probes and metrics only ──lease──► leader: workers, then kopf as informer
│
SIGTERM: stop the workers, release the lease, end │ lease lost: end at once
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import kopf
from kopf._core.engines.peering import Identity

from modelyard_operator import handlers, naming, preflight
from modelyard_operator.adapters import credentials
from modelyard_operator.adapters.bucket import TokenBucket
from modelyard_operator.adapters.clock import SystemClock
from modelyard_operator.adapters.cluster import WRITES_AT_ONCE, WRITES_PER_SECOND, KubernetesApi
from modelyard_operator.adapters.credentials import Credentials
from modelyard_operator.adapters.json_http import JsonClient
from modelyard_operator.adapters.monitor_http import MonitorService
from modelyard_operator.adapters.router_http import RouterAgents
from modelyard_operator.adapters.serving_http import ServingPods
from modelyard_operator.health import Endpoints, Health
from modelyard_operator.kind import Kind
from modelyard_operator.lease import Lease
from modelyard_operator.ports import Ports
from modelyard_operator.reconcile import Shell
from modelyard_operator.recorder import Recorder
from modelyard_operator.settings import Settings
from modelyard_operator.telemetry import Telemetry
from modelyard_operator.work_queue import WorkQueue
from modelyard_operator.workers import WORKERS, Workers

log = logging.getLogger(__name__)

Kinds = Mapping[str, Kind[Any, Any]]

LOST_LEASE = 3
"""The exit code of a leader that could not renew."""
_ROUTER_SECONDS = 3.0
_SERVING_SECONDS = 2.0
_MONITOR_SECONDS = 10.0
_INFORMER_EXIT_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class _Replica:
    """The parts of one process."""

    settings: Settings
    kinds: Kinds
    identity: Credentials
    telemetry: Telemetry
    queue: WorkQueue
    lease: Lease
    workers: Workers
    stop: asyncio.Event


async def run(settings: Settings, kinds: Kinds) -> int:
    """Run one replica until it is told to stop, or has to; return its exit code."""
    async with AsyncExitStack() as stack:
        telemetry = Telemetry()
        queue = WorkQueue(asyncio.get_running_loop(), telemetry)
        identity = await credentials.load(settings.kubeconfig)
        bucket = TokenBucket(WRITES_PER_SECOND, WRITES_AT_ONCE, time.monotonic)
        api = await stack.enter_async_context(
            KubernetesApi(identity, telemetry, bucket, connections=2 * WORKERS)
        )
        lease = _lease(settings, api)
        api.may_write = lease.is_held
        shell = await _shell(settings, kinds, api, stack)
        workers = Workers(shell, queue, telemetry)
        stop = asyncio.Event()
        replica = _Replica(settings, kinds, identity, telemetry, queue, lease, workers, stop)
        health = Health(queue, lease, time.monotonic)
        await stack.enter_async_context(
            Endpoints(
                health,
                telemetry,
                health_port=settings.health_port,
                metrics_port=settings.metrics_port,
            )
        )
        beat = asyncio.create_task(health.beat(), name="heartbeat")
        stack.callback(beat.cancel)
        return await _standby(replica, api, health)


def _lease(settings: Settings, api: KubernetesApi) -> Lease:
    return Lease(
        api,
        SystemClock(),
        time.monotonic,
        namespace=settings.namespace,
        name=naming.LEASE_NAME,
        identity=settings.identity,
    )


async def _shell(
    settings: Settings, kinds: Kinds, api: KubernetesApi, stack: AsyncExitStack
) -> Shell:
    clock = SystemClock()
    agents = await stack.enter_async_context(JsonClient(_ROUTER_SECONDS))
    servers = await stack.enter_async_context(JsonClient(_SERVING_SECONDS))
    monitor = await stack.enter_async_context(JsonClient(_MONITOR_SECONDS))
    ports = Ports(
        cluster=api,
        routers=RouterAgents(agents),
        servers=ServingPods(servers),
        monitor=MonitorService(monitor, settings.monitor_url),
        clock=clock,
        images=settings.images,
        default_store_claim=settings.default_store_claim,
    )
    return Shell(kinds, ports, api, Recorder(api, clock, settings.identity))


async def _standby(replica: _Replica, api: KubernetesApi, health: Health) -> int:
    _listen_to_signals(replica.stop)
    waiting = asyncio.create_task(_become_leader(replica, api, health), name="standby")
    stopped = asyncio.create_task(replica.stop.wait(), name="stop")
    await asyncio.wait({waiting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not waiting.done():
        waiting.cancel()
        await asyncio.wait({waiting})
        await replica.lease.release()
        return 0
    waiting.result()
    return await _lead(replica)


async def _become_leader(replica: _Replica, api: KubernetesApi, health: Health) -> None:
    watched = [kind.model.RESOURCE for kind in replica.kinds.values()]
    watched += handlers.watched_children(replica.kinds)
    await preflight.check(api, watched, replica.settings.watch_namespaces)
    health.is_ready = True
    log.info("standing by as %s", replica.settings.identity)
    await replica.lease.acquire()


async def _lead(replica: _Replica) -> int:
    log.info("leading as %s", replica.settings.identity)
    replica.telemetry.leader.set(1)
    # The workers come first: kopf ends tasks that were born after it when it ends.
    replica.workers.start()
    hold = asyncio.create_task(_hold(replica.lease), name="lease")
    informer = asyncio.create_task(_inform(replica), name="informer")
    stopped = asyncio.create_task(replica.stop.wait(), name="stop")
    await asyncio.wait({informer, stopped}, return_when=asyncio.FIRST_COMPLETED)
    failure = _failure(informer, replica.stop)
    replica.stop.set()
    await replica.workers.stop()
    hold.cancel()
    await replica.lease.release()
    log.info("released the lease")
    await asyncio.wait({informer}, timeout=_INFORMER_EXIT_SECONDS)
    informer.cancel()
    return failure


def _failure(informer: asyncio.Task[None], stop: asyncio.Event) -> int:
    """Return the exit code: an informer that ended without being told to has failed."""
    if not informer.done() or stop.is_set():
        return 0
    error = None if informer.cancelled() else informer.exception()
    log.error("the informer ended: %r", error)
    return 1


async def _hold(lease: Lease) -> None:
    await lease.hold()
    log.error("the lease is lost; another replica may lead already")
    logging.shutdown()
    os._exit(LOST_LEASE)


async def _inform(replica: _Replica) -> None:
    registry = kopf.OperatorRegistry()
    wakeups = handlers.Wakeups(replica.kinds, replica.queue)
    handlers.register(registry, replica.kinds, wakeups, lambda: _connection(replica.identity))
    started = asyncio.Event()
    signals = asyncio.create_task(_listen_again(started, replica.stop), name="signals")
    namespaces = replica.settings.watch_namespaces
    try:
        await kopf.operator(
            registry=registry,
            identity=Identity(replica.settings.identity),  # else kopf asks for a login name
            settings=handlers.informer_settings(handlers.watched_children(replica.kinds)),
            namespaces=namespaces,
            clusterwide=not namespaces,
            stop_flag=replica.stop,
            ready_flag=started,
        )
    finally:
        signals.cancel()


async def _listen_again(started: asyncio.Event, stop: asyncio.Event) -> None:
    """Take the signals back from kopf: the workers and the lease end before it does."""
    await started.wait()
    _listen_to_signals(stop)


def _listen_to_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def _connection(identity: Credentials) -> kopf.ConnectionInfo:
    return kopf.ConnectionInfo(
        server=identity.server,
        ca_path=identity.ca_file,
        insecure=not identity.verify,
        token=identity.token(),
        certificate_path=identity.certificate_file,
        private_key_path=identity.key_file,
    )

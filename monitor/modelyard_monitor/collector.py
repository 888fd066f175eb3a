"""Reads the sketches of all pods: resolves names, asks each address, hands over what it gets.

Every call has a timeout, every answer a size limit.  Each pod is asked in a task of its own, and is
not asked again while it has not answered: a slow pod delays no other, nor the closing of windows.
A pod that leaves the DNS is asked for a while longer, as it still finishes requests.
"""

import asyncio
import json
import logging
import socket
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
import msgspec

from modelyard_core import codec
from modelyard_core.errors import ModelyardError, ShapeError
from modelyard_core.sketch import Sketch
from modelyard_core.watch import Target
from modelyard_monitor import clock, grid
from modelyard_monitor.ledger import Outcome
from modelyard_monitor.service import Contact, Monitor, decode_profile
from modelyard_monitor.settings import Settings
from modelyard_monitor.watches import Standing

logger = logging.getLogger(__name__)

RESOLVE_TIMEOUT = 3.0
MSGPACK = "application/vnd.msgpack"
ACCEPT = {"accept": f"{MSGPACK}, application/json;q=0.5"}
"""Pods of a version that has no MessagePack answer with JSON, as to any other reader."""
REFRESH_SECONDS = 1.0
"""How soon a new watch is noticed."""

Address = tuple[str, int]


class Fetch(Protocol):
    """Reads one document."""

    async def __call__(self, address: Address, path: str) -> object:
        """Return the document.

        Raises:
            OSError: nobody answers, or not as expected.
        """
        ...


Resolve = Callable[[str, int], Awaitable[tuple[str, ...]]]
"""Returns the IP addresses of a host; raises OSError where there are none."""


@dataclass(slots=True)
class Pod:
    """One address of a watch."""

    named: float
    """When the DNS last had it."""
    answered: bool | None = None
    error: str = ""
    task: asyncio.Task[None] | None = None


@dataclass(slots=True)
class Round:
    """The pods of one watch, from round to round."""

    digest: str
    pods: dict[Address, Pod] = field(default_factory=dict)
    left_out: int = 0
    unresolved: str = ""


class Collector:
    """One loop per watch, for as long as the watch exists."""

    def __init__(
        self,
        monitor: Monitor,
        settings: Settings,
        fetch: Fetch,
        resolve: Resolve,
        now: Callable[[], float] = clock.now,
    ) -> None:
        self._monitor = monitor
        self._settings = settings
        self._fetch = fetch
        self._resolve = resolve
        self._now = now
        self._places = asyncio.Semaphore(settings.max_concurrent_scrapes)
        self._rounds: dict[int, Round] = {}
        self._loops: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Keep one loop for every watch until cancelled."""
        try:
            while True:
                await self._refresh()
                await asyncio.sleep(REFRESH_SECONDS)
        finally:
            await self.stop()

    async def stop(self) -> None:
        """End all loops and scrapes."""
        pods = [pod for each in self._rounds.values() for pod in each.pods.values()]
        tasks = [*self._loops.values(), *(pod.task for pod in pods if pod.task)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _refresh(self) -> None:
        standings = {each.id: each for each in await asyncio.to_thread(self._monitor.watches)}
        for identity in set(self._loops) - set(standings):
            self._loops.pop(identity).cancel()
            self._rounds.pop(identity, None)
        for identity in set(standings) - set(self._loops):
            self._loops[identity] = asyncio.create_task(self._watch(identity))

    async def _watch(self, identity: int) -> None:
        while True:
            standing = await asyncio.to_thread(self._monitor.read, identity)
            if standing is None:
                return
            try:
                await self.round(standing)
            except Exception:
                logger.exception("%s/%s: round failed", standing.namespace, standing.name)
                self._monitor.metrics.rounds.labels("failed").inc()
            else:
                self._monitor.metrics.rounds.labels("done").inc()
            await asyncio.sleep(self._pause(standing))

    def _pause(self, standing: Standing) -> float:
        windows = standing.watch.windows_seconds
        interval = self._settings.scrape_seconds or grid.scrape_interval(windows)
        boundary = grid.floor(self._now(), min(windows)) + min(windows)
        return max(0.1, min(interval, boundary - self._now()))

    async def round(self, standing: Standing) -> None:
        """Start to read every pod that is not being read, and close what is due."""
        current = self._rounds.get(standing.id)
        if current is None or current.digest != standing.watch.reference_digest:
            current = self._rounds[standing.id] = Round(standing.watch.reference_digest)
        await self._find_pods(standing, current)
        for address, pod in current.pods.items():
            if pod.task is None or pod.task.done():
                pod.task = asyncio.create_task(self._scrape(standing, address, pod))
        self._monitor.met(standing.id, self._contact(standing, current))
        await asyncio.to_thread(self._monitor.close_windows, standing.id, self._now())

    async def settle(self, standing: Standing) -> None:
        """Wait until every scrape of a watch that is under way has ended."""
        pods = self._rounds[standing.id].pods.values()
        await asyncio.gather(*(pod.task for pod in pods if pod.task))
        self._monitor.met(standing.id, self._contact(standing, self._rounds[standing.id]))

    async def _find_pods(self, standing: Standing, current: Round) -> None:
        now = self._now()
        named = await asyncio.gather(*(self._addresses(each) for each in standing.watch.targets))
        found = [address for addresses, _ in named for address in addresses]
        current.unresolved = "; ".join(error for _, error in named if error)
        current.left_out = max(0, len(found) - self._settings.max_pods)
        for address in found[: self._settings.max_pods]:
            current.pods.setdefault(address, Pod(named=now)).named = now
        for address, pod in list(current.pods.items()):
            gone_for = now - pod.named
            finished = pod.task is None or pod.task.done()
            if gone_for > self._settings.linger_seconds and finished:
                del current.pods[address]

    async def _addresses(self, target: Target) -> tuple[list[Address], str]:
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                found = await self._resolve(target.host, target.port)
        except TimeoutError:
            return [], f"{target.host} was not resolved within {RESOLVE_TIMEOUT:.0f} s"
        except OSError as error:
            return [], f"{target.host} has no address: {error.strerror or error}"
        return [(ip, target.port) for ip in sorted(set(found))], ""

    async def _scrape(self, standing: Standing, address: Address, pod: Pod) -> None:
        begun = clock.monotonic()
        try:
            async with self._places, asyncio.timeout(self._settings.scrape_timeout_seconds):
                document = await self._fetch(address, "/v1/sketch")
                sketch = await asyncio.to_thread(codec.decode, Sketch, document)
                await self._learn_profile(standing, sketch, address)
            entry = await asyncio.to_thread(self._monitor.ingest, standing.id, sketch, self._now())
        except (OSError, TimeoutError, ModelyardError, sqlite3.Error) as error:
            self._failed(standing, address, pod, error)
            return
        self._monitor.metrics.scrapes.labels("answered").inc()
        self._monitor.metrics.scrape_seconds.observe(clock.monotonic() - begun)
        refused = entry.outcome is Outcome.WENT_DOWN
        pod.answered = entry.outcome is not Outcome.OTHER_DIGEST and not refused
        pod.error = f"its sketch is {entry.outcome.replace('_', ' ')}" if refused else ""

    async def _learn_profile(self, standing: Standing, sketch: Sketch, address: Address) -> None:
        digest = standing.watch.reference_digest
        if sketch.digest != digest or await asyncio.to_thread(self._monitor.has_profile, digest):
            return
        profile = decode_profile(await self._fetch(address, "/v1/profile"))
        await asyncio.to_thread(self._monitor.put_profile, digest, profile)

    def _failed(self, standing: Standing, address: Address, pod: Pod, error: Exception) -> None:
        result = "refused" if isinstance(error, ModelyardError) else "unanswered"
        if isinstance(error, sqlite3.Error):
            result = "not_stored"
        self._monitor.metrics.scrapes.labels(result).inc()
        text = str(error) or type(error).__name__
        if pod.answered is not False or pod.error != text:
            logger.warning(
                "%s/%s: %s gave no sketch: %s", standing.namespace, standing.name, address[0], text
            )
        pod.answered, pod.error = False, text

    def _contact(self, standing: Standing, current: Round) -> Contact:
        now = self._now()
        fresh = [pod for pod in current.pods.values() if pod.named == now or pod.answered]
        known = [pod for pod in fresh if pod.answered is not None]
        good = sum(1 for pod in known if pod.answered)
        return Contact(
            at=now,
            pods=good,
            failed=len(known) - good,
            error="" if good else _why_silent(standing, current, known),
        )


def _why_silent(standing: Standing, current: Round, known: Iterable[Pod]) -> str:
    """Return why no pod counts, in a sentence; empty while the first answers are awaited."""
    errors = sorted({pod.error for pod in known if pod.error})
    hosts = ", ".join(target.host for target in standing.watch.targets)
    if current.unresolved and not current.pods:
        return current.unresolved
    if errors:
        return f"no pod of {hosts} gave a sketch: {errors[0]}"
    if any(pod.answered is False for pod in known):
        return f"the pods of {hosts} serve another version than the reference"
    return ""


def http_fetch(session: aiohttp.ClientSession, limit: int) -> Fetch:
    """Return a `Fetch` over HTTP; answers larger than `limit` bytes are refused."""

    async def fetch(address: Address, path: str) -> object:
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        url = f"http://{host}:{address[1]}{path}"
        try:
            async with session.get(url, headers=ACCEPT, allow_redirects=False) as answer:
                if answer.status != 200:  # noqa: PLR2004
                    raise ShapeError(f"{path} answered {answer.status}")
                body = await answer.content.read(limit + 1)
                while len(body) <= limit and (more := await answer.content.read(limit)):
                    body += more
        except aiohttp.ClientError as error:
            raise OSError(str(error)) from error
        if len(body) > limit:
            raise ShapeError(f"{path} is larger than {limit} bytes")
        return _parse(path, body, answer.content_type)

    return fetch


def _parse(path: str, body: bytes, content_type: str) -> object:
    is_msgpack = content_type == MSGPACK
    try:
        return msgspec.msgpack.decode(body) if is_msgpack else json.loads(body)
    except (ValueError, RecursionError) as error:
        name = "MessagePack" if is_msgpack else "JSON"
        raise ShapeError(f"{path} is not {name}: {error}") from error


async def resolve(host: str, port: int) -> tuple[str, ...]:
    """Return all IP addresses that the resolver has for a host.

    Raises:
        OSError: there is none.
    """
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(str(entry[4][0]) for entry in found)

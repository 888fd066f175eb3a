"""What must be true before a replica may run: our kinds are served, and may be read.

kopf would wait for a missing kind for ever, and retry a missing permission for ever.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from modelyard_core.errors import ModelyardError
from modelyard_operator.api.resources import GROUP, Resource
from modelyard_operator.ports import ApiError

log = logging.getLogger(__name__)

_FORBIDDEN = 403
_NOT_FOUND = 404
_WAITS = (1.0, 2.0, 4.0, 8.0, 15.0)


class NotInstalled(ModelyardError):
    """A person must install something before this program can run."""


class Probe(Protocol):
    """The part of the Kubernetes API that the preflight needs."""

    async def probe(self, resource: Resource, namespace: str | None) -> None:
        """List at most one object."""
        ...


Sleep = Callable[[float], Awaitable[None]]


async def check(
    api: Probe,
    watched: Iterable[Resource],
    namespaces: tuple[str, ...],
    sleep: Sleep = asyncio.sleep,
) -> None:
    """Wait for the API server, then see that everything that will be watched can be.

    Raises:
        NotInstalled: it cannot; the message says what is missing.
    """
    for resource in watched:
        for namespace in namespaces or (None,):
            await _check_one(api, resource, namespace, sleep)


async def _check_one(api: Probe, resource: Resource, namespace: str | None, sleep: Sleep) -> None:
    attempt = 0
    while True:
        try:
            return await api.probe(resource, namespace)
        except ApiError as error:
            if error.code in (_NOT_FOUND, _FORBIDDEN):
                raise NotInstalled(_missing(resource, error)) from error
            wait = _WAITS[min(attempt, len(_WAITS) - 1)]
            log.warning("again in %.0f s: %s", wait, error)
        attempt += 1
        await sleep(wait)


def _missing(resource: Resource, error: ApiError) -> str:
    name = f"{resource.plural}.{resource.group}".rstrip(".")
    if error.code == _NOT_FOUND and resource.group == GROUP:
        return f"The CRD {name} ({resource.version}) is not installed; apply the files in crds/."
    if error.code == _NOT_FOUND:
        return f"The cluster does not serve {name} in version {resource.version}."
    return f"This program may not list {name}; check its roles. {error.message}"

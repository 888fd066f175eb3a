"""The Kubernetes API as JSON over HTTP: fills the ports Cluster, Writer, Leases and EventSink.

The official client would cost three times the processor time a call; only its loading of
credentials is used.  Every call is bounded in time, every refusal is an `ApiError`.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiohttp

from modelyard_operator.adapters.bucket import TokenBucket
from modelyard_operator.adapters.credentials import Credentials
from modelyard_operator.api import resources
from modelyard_operator.api.resources import Obj, Resource
from modelyard_operator.naming import FIELD_MANAGER
from modelyard_operator.ports import NO_LABELS, ApiError
from modelyard_operator.telemetry import Telemetry

WRITES_PER_SECOND = 100.0
WRITES_AT_ONCE = 200.0
"""Reads are bounded by the number of connections; they never reach etcd as often as writes do."""
TIMEOUT = aiohttp.ClientTimeout(total=15, sock_connect=3)

_ELECTION = f"/apis/{resources.LEASE.api_version}/"
"""Calls of the election never wait for others, and are made by replicas that do not lead."""
_JSON = "application/json"
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_BAD_REQUEST = 400
_NOT_FOUND = 404
_LONGEST_RETRY_AFTER = 60.0


class KubernetesApi:
    """One connection pool to the API server; use as an async context manager."""

    def __init__(
        self,
        credentials: Credentials,
        telemetry: Telemetry,
        bucket: TokenBucket,
        *,
        connections: int = 32,
        may_write: Callable[[], bool] = lambda: True,
    ) -> None:
        self._credentials = credentials
        self._telemetry = telemetry
        self._bucket = bucket
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self.may_write = may_write
        """Asked before each write of a reconcile: a replica that lost its lease writes nothing."""

    async def __aenter__(self) -> Self:
        tls = self._credentials.tls() if self._credentials.server.startswith("https") else False
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections, ssl=tls),
            timeout=TIMEOUT,
            headers={"User-Agent": f"{FIELD_MANAGER}-operator", "Accept": _JSON},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def get(self, resource: Resource, namespace: str, name: str) -> Obj | None:
        """Return one object, or None where it does not exist."""
        try:
            return await self._call("GET", resource.path(namespace, name))
        except ApiError as error:
            if error.code == _NOT_FOUND:
                return None
            raise

    async def list(
        self, resource: Resource, namespace: str, labels: Mapping[str, str] = NO_LABELS
    ) -> Sequence[Obj]:
        """Return the objects of a namespace that carry all these labels."""
        query = {"labelSelector": ",".join(f"{k}={v}" for k, v in labels.items())} if labels else {}
        answer = await self._call("GET", resource.path(namespace), query=query)
        head = {"apiVersion": resource.api_version, "kind": resource.kind}
        return [head | item for item in answer.get("items", [])]

    async def probe(self, resource: Resource, namespace: str | None) -> None:
        """List at most one object, to see whether the kind is served and may be read."""
        await self._call("GET", resource.path(namespace), query={"limit": "1"})

    async def create(self, obj: Obj) -> Obj:
        """Create an object; fails where the name is taken."""
        path = resources.of(obj).path(obj["metadata"]["namespace"])
        return await self._write("POST", path, obj)

    async def replace(self, obj: Obj) -> Obj:
        """Replace an object; fails where its resourceVersion has moved on."""
        return await self._write("PUT", _path(obj), obj)

    async def apply(self, obj: Obj) -> Obj:
        """Server-side apply an object by force as `modelyard`."""
        return await self._apply(_path(obj), obj)

    async def apply_status(self, obj: Obj) -> Obj:
        """Server-side apply `status`; fails where the given resourceVersion has moved on."""
        return await self._apply(f"{_path(obj)}/status", obj)

    async def _apply(self, path: str, obj: Obj) -> Obj:
        query = {"fieldManager": FIELD_MANAGER, "force": "true"}
        return await self._write("PATCH", path, obj, query=query, content_type=_APPLY)

    async def annotate(
        self, resource: Resource, namespace: str, name: str, annotations: Mapping[str, str]
    ) -> None:
        """Merge annotations into an object; silent where it is gone."""
        patch = {"metadata": {"annotations": dict(annotations)}}
        path = resource.path(namespace, name)
        try:
            await self._write("PATCH", path, patch, content_type=_MERGE)
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise

    async def delete(self, resource: Resource, namespace: str, name: str, uid: str) -> None:
        """Delete an object with this uid in the background; silent where it is gone."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid},
        }
        try:
            await self._write("DELETE", resource.path(namespace, name), options)
        except ApiError as error:
            if error.code != _NOT_FOUND:
                raise

    async def _write(
        self,
        method: str,
        path: str,
        body: Obj,
        *,
        query: Mapping[str, str] = NO_LABELS,
        content_type: str = _JSON,
    ) -> Obj:
        if not path.startswith(_ELECTION) and not self.may_write():
            raise ApiError(0, "NotLeading", "this replica does not lead")
        return await self._call(method, path, query=query, body=body, content_type=content_type)

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] = NO_LABELS,
        body: Obj | None = None,
        content_type: str = _JSON,
    ) -> Obj:
        if method != "GET" and not path.startswith(_ELECTION):
            await self._bucket.take(1.0)
        try:
            return await self._send(method, path, query, body, content_type)
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            self._telemetry.requests.labels("<error>", method).inc()
            reason = str(error) or type(error).__name__
            sentence = f"the Kubernetes API does not answer: {reason}"
            raise ApiError(0, "NoAnswer", sentence) from error

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Obj | None,
        content_type: str,
    ) -> Obj:
        assert self._session is not None, "used outside its context"
        headers = {"Content-Type": content_type}
        if token := self._credentials.token():
            headers["Authorization"] = f"Bearer {token}"
        async with self._session.request(
            method,
            self._credentials.server + path,
            params=dict(query),
            data=None if body is None else json.dumps(body).encode(),
            headers=headers,
        ) as response:
            content = await response.read()
            self._telemetry.requests.labels(str(response.status), method).inc()
            if response.status >= _BAD_REQUEST:
                raise _refusal(response, content)
        return _decoded(content)


def _path(obj: Obj) -> str:
    metadata = obj["metadata"]
    return resources.of(obj).path(metadata["namespace"], metadata["name"])


def _decoded(content: bytes) -> Obj:
    try:
        document = json.loads(content)
    except ValueError as error:
        raise ApiError(0, "NotJson", "the Kubernetes API answered something else") from error
    return document if isinstance(document, dict) else {}


def _refusal(response: aiohttp.ClientResponse, content: bytes) -> ApiError:
    """Return the error that a Status document describes, or what is known without one."""
    try:
        status: Any = json.loads(content)
    except ValueError:
        status = None
    if not isinstance(status, dict):
        status = {}
    details = status.get("details") or {}
    causes = details.get("causes") or []
    return ApiError(
        response.status,
        status.get("reason") or response.reason or "",
        status.get("message") or content[:200].decode(errors="replace"),
        causes=frozenset(cause.get("reason", "") for cause in causes),
        retry_after=_seconds(response.headers.get("Retry-After")),
    )


def _seconds(header: str | None) -> float:
    """Return a Retry-After in seconds, at most a minute; dates and nonsense count as none."""
    return min(float(header), _LONGEST_RETRY_AFTER) if header and header.isdigit() else 0.0

"""The Kubernetes API in memory: fills the ports Cluster and Writer for tests of the shell.

`tests/adapters` runs the same contract against the real API server.
"""

import copy
from collections.abc import Mapping
from typing import Any

from modelyard_operator.api import resources
from modelyard_operator.ports import ApiError

Obj = dict[str, Any]


class FakeCluster:
    """Objects by kind, namespace and name.  `refusals` maps a verb to the error that it meets."""

    def __init__(self, *objects: Obj) -> None:
        self.objects: dict[tuple[str, str, str], Obj] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.refusals: dict[str, ApiError] = {}
        self._revision = 0
        for obj in objects:
            self.put(obj)

    def put(self, obj: Obj) -> Obj:
        """Store an object as the API server would, and return it as stored."""
        self._revision += 1
        stored = copy.deepcopy(obj)
        stored["metadata"].setdefault("uid", f"uid-{self._revision}")
        stored["metadata"]["resourceVersion"] = str(self._revision)
        self.objects[_key(stored)] = stored
        return copy.deepcopy(stored)

    async def get(self, resource: resources.Resource, namespace: str, name: str) -> Obj | None:
        self._refuse("get")
        return copy.deepcopy(self.objects.get((resource.kind, namespace, name)))

    async def list(
        self, resource: resources.Resource, namespace: str, labels: Mapping[str, str] | None = None
    ) -> list[Obj]:
        self._refuse("list")
        return [
            copy.deepcopy(obj)
            for (kind, place, _), obj in sorted(self.objects.items())
            if (kind, place) == (resource.kind, namespace)
            and (labels or {}).items() <= obj["metadata"].get("labels", {}).items()
        ]

    async def create(self, obj: Obj) -> Obj:
        self._write("create", obj)
        if _key(obj) in self.objects:
            raise ApiError(409, "AlreadyExists", f"{obj['metadata']['name']} already exists")
        return self.put(obj)

    async def apply(self, obj: Obj) -> Obj:
        self._write("apply", obj)
        return self.put(_merged(self.objects.get(_key(obj), {}), obj))

    async def apply_status(self, obj: Obj) -> Obj:
        self._write("apply_status", obj)
        live = self.objects.get(_key(obj))
        if live is None:
            raise ApiError(404, "NotFound", "not found")
        if obj["metadata"]["resourceVersion"] != live["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "the object has been modified")
        return self.put(live | {"status": obj["status"]})

    async def annotate(
        self,
        resource: resources.Resource,
        namespace: str,
        name: str,
        annotations: Mapping[str, str],
    ) -> None:
        live = self.objects.get((resource.kind, namespace, name))
        if live is not None:
            self._write("annotate", live)
            self.put(_merged(live, {"metadata": {"annotations": dict(annotations)}}))

    async def delete(
        self, resource: resources.Resource, namespace: str, name: str, uid: str
    ) -> None:
        live = self.objects.get((resource.kind, namespace, name))
        if live is None:
            return
        self._write("delete", live)
        if live["metadata"]["uid"] != uid:
            raise ApiError(409, "Conflict", "the uid in the precondition does not match")
        del self.objects[_key(live)]

    def _write(self, verb: str, obj: Obj) -> None:
        self.writes.append((verb, obj["kind"], obj["metadata"]["name"]))
        self._refuse(verb)

    def _refuse(self, verb: str) -> None:
        if verb in self.refusals:
            raise self.refusals[verb]


def _key(obj: Obj) -> tuple[str, str, str]:
    return obj["kind"], obj["metadata"]["namespace"], obj["metadata"]["name"]


def _merged(live: Obj, wanted: Obj) -> Obj:
    result = dict(live)
    for key, value in wanted.items():
        nested = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merged(result[key], value) if nested else copy.deepcopy(value)
    return result

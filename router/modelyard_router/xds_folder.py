"""The folder between agent and Envoy: whole files, moved into place.

Envoy reacts to moves in the folder and reads the file at once, so a file is never written in place.
"""

import json
from pathlib import Path
from typing import Any

from modelyard_router import envoy_config
from modelyard_router.envoy_config import Json


class XdsFolder:
    """Envoy's clusters and routes, and the agent's own ledger of counts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)

    def clusters(self) -> dict[str, Json] | None:
        """Return the published clusters by name, or None before the first publication."""
        resources = self._read_resources("cds")
        return None if resources is None else {item["name"]: item for item in resources}

    def routes(self) -> list[Json] | None:
        """Return the published route configuration, or None before the first publication."""
        return self._read_resources("rds")

    def publish_clusters(self, clusters: dict[str, Json]) -> None:
        """Make these Envoy's clusters."""
        self._publish("cds", list(clusters.values()))

    def publish_routes(self, routes: list[Json]) -> None:
        """Make this Envoy's route configuration."""
        self._publish("rds", routes)

    def read_ledger(self) -> str | None:
        """Return the ledger's text, or None when there is none."""
        path = self._folder / "ledger.json"
        return path.read_text() if path.exists() else None

    def write_ledger(self, text: str) -> None:
        """Keep the ledger for the agent's next start."""
        self._move_into_place("ledger.json", text)

    def _publish(self, name: str, resources: list[Json]) -> None:
        version = envoy_config.content_version(resources)
        document = {"version_info": version, "resources": resources}
        self._move_into_place(f"{name}.json", json.dumps(document))

    def _read_resources(self, name: str) -> list[Json] | None:
        path = self._folder / f"{name}.json"
        if not path.exists():
            return None
        document: Any = json.loads(path.read_text())
        return list(document["resources"])

    def _move_into_place(self, name: str, text: str) -> None:
        draft = self._folder / f".{name}"
        draft.write_text(text)
        draft.rename(self._folder / name)

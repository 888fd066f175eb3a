"""The serving pods' own words, over HTTP: fills the port Servers."""

import json
import logging
from http import HTTPStatus

from modelyard_core import codec
from modelyard_core.errors import ShapeError, Unavailable
from modelyard_core.readiness import READY_PATH, NotReadyAnswer
from modelyard_operator.adapters.json_http import JsonClient, root

log = logging.getLogger(__name__)

SERVING_PORT = 8080
MAX_WORDS = 400


class ServingPods:
    """Asks the server of one pod by the pod's address."""

    def __init__(self, client: JsonClient, port: int = SERVING_PORT) -> None:
        self._client = client
        self._port = port

    async def why_not_ready(self, address: str) -> str:
        """Return what the server of this pod says, on one line; empty: it is ready, or silent."""
        url = root(address, self._port) + READY_PATH
        try:
            status, content = await self._client.send("GET", url)
            if status != HTTPStatus.SERVICE_UNAVAILABLE:
                return ""
            answer = codec.decode(NotReadyAnswer, json.loads(content))
        except Unavailable as error:
            log.info("%s", error)
        except (ValueError, ShapeError) as error:
            log.warning("%s answered in another shape: %s", url, error)
        else:
            return " ".join(answer.error.split())[:MAX_WORDS]
        return ""

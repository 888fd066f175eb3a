"""The drift monitor service, over HTTP: fills the port Monitor."""

import json
import logging
from http import HTTPStatus

from modelyard_core import codec
from modelyard_core.errors import Rejected, ShapeError, Unavailable
from modelyard_core.watch import Report, Watch
from modelyard_operator.adapters.json_http import JsonClient

log = logging.getLogger(__name__)

_REFUSALS = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.TOO_MANY_REQUESTS,
)


class MonitorService:
    """Talks to the monitor at one address."""

    def __init__(self, client: JsonClient, url: str) -> None:
        self._client = client
        self._url = url.rstrip("/")

    async def put_watch(self, namespace: str, name: str, watch: Watch) -> Report | None:
        """Tell the monitor what to watch and return its report; None: no answer.

        Raises:
            Rejected: the monitor will not watch this; the sentence is its own.
        """
        path = f"{self._url}/v1/watches/{namespace}/{name}"
        try:
            status, content = await self._client.send("PUT", path, codec.encode(watch))
            answer = json.loads(content)
            if status in _REFUSALS:
                raise Rejected("Refused", str(answer["error"]))
            if status == HTTPStatus.OK:
                return codec.decode(Report, answer)
            log.warning("%s answered %s", path, status)
        except Unavailable as error:
            log.info("%s", error)
        except (ValueError, KeyError, TypeError, ShapeError) as error:
            log.warning("%s answered in another shape: %s", path, error)
        return None

    async def delete_watch(self, namespace: str, name: str) -> None:
        """End a watch; silent where there is none.

        Raises:
            Unavailable: the monitor does not answer, or failed.
        """
        status, _ = await self._client.send("DELETE", f"{self._url}/v1/watches/{namespace}/{name}")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Unavailable(f"the monitor answered {status} when asked to end a watch")

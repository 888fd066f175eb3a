"""The drift monitor service, over HTTP: fills the port Monitor."""

from http import HTTPStatus

from modelyard_core import codec
from modelyard_core.errors import Unavailable
from modelyard_core.watch import Report, Watch
from modelyard_operator.adapters.json_http import JsonClient


class MonitorService:
    """Talks to the monitor at one address."""

    def __init__(self, client: JsonClient, url: str) -> None:
        self._client = client
        self._url = url.rstrip("/")

    async def put_watch(self, namespace: str, name: str, watch: Watch) -> Report | None:
        """Tell the monitor what to watch and return its report; None: no answer."""
        path = f"{self._url}/v1/watches/{namespace}/{name}"
        return await self._client.ask(Report, "PUT", path, codec.encode(watch))

    async def delete_watch(self, namespace: str, name: str) -> None:
        """End a watch; silent where there is none.

        Raises:
            Unavailable: the monitor does not answer, or failed.
        """
        status, _ = await self._client.send("DELETE", f"{self._url}/v1/watches/{namespace}/{name}")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise Unavailable(f"the monitor answered {status} when asked to end a watch")

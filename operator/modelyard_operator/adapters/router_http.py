"""The agents beside the routers, over HTTP: fills the port Routers."""

from modelyard_core.routes import RouterCounters, RouterState
from modelyard_operator.adapters.json_http import JsonClient

AGENT_PORT = 9903


class RouterAgents:
    """Asks the agent of one pod by the pod's address."""

    def __init__(self, client: JsonClient, port: int = AGENT_PORT) -> None:
        self._client = client
        self._port = port

    async def state(self, address: str) -> RouterState | None:
        """Return what the agent has applied; None: no answer."""
        return await self._client.ask(RouterState, "GET", f"{self._root(address)}/v1/routes")

    async def counters(self, address: str) -> RouterCounters | None:
        """Return the counters of the pod; None: no answer."""
        return await self._client.ask(RouterCounters, "GET", f"{self._root(address)}/v1/counters")

    def _root(self, address: str) -> str:
        host = f"[{address}]" if ":" in address else address
        return f"http://{host}:{self._port}"

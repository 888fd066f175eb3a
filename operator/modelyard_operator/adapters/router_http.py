"""The agents beside the routers, over HTTP: fills the port Routers."""

from modelyard_core.routes import RouterCounters, RouterState
from modelyard_operator.adapters.json_http import JsonClient, root

AGENT_PORT = 9903


class RouterAgents:
    """Asks the agent of one pod by the pod's address."""

    def __init__(self, client: JsonClient, port: int = AGENT_PORT) -> None:
        self._client = client
        self._port = port

    async def state(self, address: str) -> RouterState | None:
        """Return what the agent has applied; None: no answer."""
        return await self._client.ask(RouterState, "GET", f"{root(address, self._port)}/v1/routes")

    async def counters(self, address: str) -> RouterCounters | None:
        """Return the counters of the pod; None: no answer."""
        url = f"{root(address, self._port)}/v1/counters"
        return await self._client.ask(RouterCounters, "GET", url)

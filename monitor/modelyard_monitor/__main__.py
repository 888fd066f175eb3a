"""`modelyard-monitor`: read the settings, open the database, serve and collect until SIGTERM."""

import asyncio

import aiohttp
import uvicorn

from modelyard_core import logs
from modelyard_monitor.app import create_app
from modelyard_monitor.collector import Collector, http_fetch, resolve
from modelyard_monitor.database import Database
from modelyard_monitor.metrics import Metrics
from modelyard_monitor.service import Monitor
from modelyard_monitor.settings import Settings, read_settings

SHUTDOWN_SECONDS = 5
KEEP_ALIVE_SECONDS = 75


async def serve(settings: Settings) -> None:
    """Run until the server ends, by SIGTERM or because collecting has ended."""
    database = Database(settings.data / "monitor.sqlite")
    monitor = Monitor(database, Metrics(), max_watches=settings.max_watches)
    timeout = aiohttp.ClientTimeout(total=settings.scrape_timeout_seconds, connect=2)
    async with aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as http:
        fetch = http_fetch(http, settings.max_response_bytes)
        collecting = asyncio.create_task(Collector(monitor, settings, fetch, resolve).run())
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(monitor, is_running=lambda: not collecting.done()),
                host=settings.host,
                port=settings.port,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )
        )
        collecting.add_done_callback(lambda _: setattr(server, "should_exit", True))
        try:
            await server.serve()
        finally:
            collecting.cancel()
            await asyncio.gather(collecting, return_exceptions=True)
            database.close()


def main() -> None:
    """Run the monitor."""
    settings = read_settings()
    logs.to_standard_error(settings.log_level)
    asyncio.run(serve(settings))


if __name__ == "__main__":
    main()

"""A real S3 server for a test: versitygw over a folder, with keys of its own."""

import http.client
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from hack import programs, s3_server
from pyarrow import fs

from support import ending
from support.ports import free_port

ACCESS_KEY, SECRET_KEY = "test-access", "test-secret"
BUCKET = "bucket"
PATIENCE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class S3:
    """A running server with one empty bucket."""

    host: str
    port: int
    folder: Path

    def environment(self, secret: str = SECRET_KEY) -> dict[str, str]:
        """Return the variables by which AWS programs find the server."""
        return {
            "AWS_ENDPOINT_URL": f"http://{self.host}:{self.port}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def files(self) -> fs.S3FileSystem:
        """Return a client of the server."""
        return fs.S3FileSystem(
            access_key=ACCESS_KEY,
            secret_key=SECRET_KEY,
            endpoint_override=f"{self.host}:{self.port}",
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
            allow_bucket_deletion=True,
        )


@contextmanager
def running(folder: Path, host: str = "127.0.0.1") -> Iterator[S3]:
    """Run the server on one of the machine's addresses until the block ends."""
    program = s3_server.ensure()
    port = free_port()
    (folder / "data").mkdir(parents=True)
    (folder / "iam").mkdir()
    environment = {**os.environ, "ROOT_ACCESS_KEY": ACCESS_KEY, "ROOT_SECRET_KEY": SECRET_KEY}
    command = [
        *(str(program), "--port", f"{host}:{port}", "--region", "us-east-1"),
        *("--iam-dir", str(folder / "iam"), "--health", "/healthz", "--quiet"),
        *("posix", str(folder / "data")),
    ]
    with subprocess.Popen(ending.with_us(command), env=environment) as process:
        try:
            answers = programs.wait_until(
                lambda: _answers(host, port), timeout_seconds=PATIENCE_SECONDS, pause_seconds=0.05
            )
            assert answers, "the S3 server does not answer"
            server = S3(host, port, folder / "data")
            server.files().create_dir(BUCKET)
            yield server
        finally:
            process.kill()


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()

"""A serving image whose server looks healthy and is not.

It answers every inference with 500, or never where its environment says `MODE=hang`.
"""

import json
import subprocess
from pathlib import Path

from hack import caches, locks
from hack.cluster import binaries, docker, layout
from hack.images import buildah, node

REPOSITORY = "modelyard.dev/broken-serving"
PROGRAM = """\
#!/opt/modelyard/bin/python
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(status)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def do_GET(self):
        self.answer(200)

    def do_POST(self):
        if os.environ.get("MODE", "").startswith("hang"):
            time.sleep(3600)
        self.answer(500)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


Server(("", 8080), Handler).serve_forever()
"""


def ensure(folder: Path) -> str:
    """Build the image on top of the serving image, bring it into the cluster, return its name."""
    serving = json.loads(caches.image_list().read_text())["serving"]
    wanted = f"{REPOSITORY}:{caches.key_of(serving, PROGRAM)}"
    program = folder / "modelyard-serve"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    if docker.answers():
        _with_docker(wanted, serving, folder)
    else:
        _with_buildah(wanted, serving, program)
    return wanted


def _with_docker(wanted: str, serving: str, folder: Path) -> None:
    text = f"FROM {serving}\nCOPY modelyard-serve /opt/modelyard/bin/modelyard-serve\n"
    (folder / "Dockerfile").write_text(text)
    subprocess.run(["docker", "build", "--quiet", f"--tag={wanted}", folder], check=True)
    docker.load(wanted)


def _with_buildah(wanted: str, serving: str, program: Path) -> None:
    places = layout.Layout(
        state=caches.cluster_state(), binaries=binaries.find() or caches.cache_root()
    )
    with locks.held(buildah.LOCK):
        if not buildah.has(wanted):
            try:
                _commit(wanted, serving, program)
            finally:
                buildah.unmount()
        if not node.has(places, wanted):
            node.load(places, wanted)


def _commit(wanted: str, serving: str, program: Path) -> None:
    container = buildah.run("from", "--pull-never", serving).strip()
    try:
        buildah.run("copy", container, program, "/opt/modelyard/bin/modelyard-serve")
        buildah.run("commit", "--quiet", container, wanted)
    finally:
        buildah.run("rm", container)

"""A Kubernetes API server of a test's own: the real etcd and kube-apiserver, and nothing else.

No controllers and no kubelet run: a test plays their part, so that every step is in its hands,
and no operator that happens to be installed interferes.
"""

import json
import secrets
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hack.cluster import binaries

from modelyard_operator.api import crds
from support import ending
from support.ports import free_port

Obj = dict[str, Any]

START_LIMIT_SECONDS = 180.0
AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: Metadata, users: [stranger]}
- {level: Metadata, verbs: [create, update, patch, delete, deletecollection]}
- {level: None}
"""


@dataclass(frozen=True, slots=True)
class ApiServer:
    """One running API server and who may use it."""

    url: str
    folder: Path
    token: str
    """Of a member of system:masters."""
    stranger: str
    """Of somebody without any right."""

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    def call(self, method: str, path: str, body: Any = None, kind: str = "json") -> Obj:
        """Make one request as the administrator and return the answer."""
        content_type = {
            "json": "application/json",
            "merge": "application/merge-patch+json",
            "apply": "application/apply-patch+yaml",
        }[kind]
        request = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": content_type},
        )
        try:
            with urllib.request.urlopen(request, context=self.tls(), timeout=60) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            status = json.loads(error.read())
            raise Refused(error.code, status.get("message", "")) from None

    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "certs" / "apiserver.crt"))

    def namespace(self, name: str) -> str:
        """Make a namespace and return its name."""
        document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        self.call("POST", "/api/v1/namespaces", document)
        return name

    def audit(self) -> list[Obj]:
        """Return every write that the server has answered so far, and noted to the end of its line."""
        whole, _, _ = (self.folder / "audit.log").read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]


class Refused(AssertionError):
    """The API server said no."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


@contextmanager
def running(folder: Path) -> Iterator[ApiServer]:
    """Run etcd and an API server, built where they are not, in a folder until the block ends.

    Raises:
        Failure: they cannot be built; the sentence says what is missing.
    """
    programs = binaries.ensure()
    folder.mkdir(parents=True, exist_ok=True)
    etcd_port, peer_port, port = free_port(), free_port(), free_port()
    server = ApiServer(
        f"https://127.0.0.1:{port}", folder, secrets.token_hex(8), secrets.token_hex(8)
    )
    _write_files(server)
    with (
        _started(folder, programs / "etcd", _etcd(folder, etcd_port, peer_port)),
        _started(
            folder, programs / "kube-apiserver", _kube_apiserver(folder, etcd_port, port)
        ) as api,
    ):
        _wait(server, api)
        yield server
    shutil.rmtree(folder / "etcd", ignore_errors=True)


def _write_files(server: ApiServer) -> None:
    folder = server.folder
    (folder / "tokens.csv").write_text(
        f'{server.token},admin,admin,"system:masters"\n{server.stranger},stranger,stranger\n'
    )
    (folder / "audit.yaml").write_text(AUDIT_POLICY)
    (folder / "audit.log").touch()
    key = str(folder / "service-account.key")
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    write_kubeconfig(server.kubeconfig, server.url, server.token, folder / "certs/apiserver.crt")


def write_kubeconfig(path: Path, url: str, token: str, certificate: Path | None = None) -> None:
    """Write a kubeconfig with one context."""
    trust = {} if certificate is None else {"certificate-authority": str(certificate)}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": url, **trust}}],
        "users": [{"name": "test", "user": {"token": token}}],
    }
    path.write_text(json.dumps(document))


def _etcd(folder: Path, port: int, peer_port: int) -> list[str]:
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        f"--data-dir={folder / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
    ]


def _kube_apiserver(folder: Path, etcd_port: int, port: int) -> list[str]:
    key = folder / "service-account.key"
    return [
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certs'}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--token-auth-file={folder / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--disable-admission-plugins=ServiceAccount",
        f"--audit-policy-file={folder / 'audit.yaml'}",
        f"--audit-log-path={folder / 'audit.log'}",
        "--service-cluster-ip-range=10.96.0.0/24",
    ]


@contextmanager
def _started(
    folder: Path, program: Path, arguments: list[str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the block ends."""
    command = ending.with_us([program, *arguments])
    with (
        (folder / f"{program.name}.log").open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def _wait(server: ApiServer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_LIMIT_SECONDS
    log = server.folder / "kube-apiserver.log"
    while not _answers(server):
        assert process.poll() is None, log.read_text()[-2000:]
        assert time.monotonic() < deadline, log.read_text()[-2000:]
        time.sleep(0.2)


def _answers(server: ApiServer) -> bool:
    try:
        server.call("GET", "/api/v1/namespaces/default")
    except (OSError, Refused):
        return False
    return True


def install_crds(server: ApiServer) -> None:
    """Install our CRDs and wait until they are served."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for model in crds.models():
        server.call("POST", path, crds.definition(model))
    deadline = time.monotonic() + START_LIMIT_SECONDS
    for model in crds.models():
        while not _serves(server, model.RESOURCE.path("default")):
            assert time.monotonic() < deadline, f"{model.__name__} is not served"
            time.sleep(0.1)


def _serves(server: ApiServer, path: str) -> bool:
    try:
        server.call("GET", path)
    except Refused:
        return False
    return True

"""How this process reaches the Kubernetes API: read once by the official configuration loader.

Inside a cluster the token file is read again for every request, since the kubelet renews it.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config
from kubernetes.aio.config.incluster_config import SERVICE_TOKEN_FILENAME

TOKEN_FILE = Path(SERVICE_TOKEN_FILENAME)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Address, trust and identity."""

    server: str
    ca_file: str | None
    certificate_file: str | None = None
    key_file: str | None = None
    fixed_token: str | None = None
    token_file: Path | None = None
    verify: bool = True

    def token(self) -> str | None:
        """Return the bearer token as it is now."""
        if self.token_file is not None:
            return self.token_file.read_text(encoding="utf-8").strip()
        return self.fixed_token

    def tls(self) -> ssl.SSLContext:
        """Return the TLS settings."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file:
            context.load_cert_chain(self.certificate_file, self.key_file)
        if not self.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


async def load(kubeconfig: str | None) -> Credentials:
    """Return the pod's own credentials, or those of a kubeconfig where there is no pod."""
    configuration = Configuration()
    if kubeconfig is None:
        try:
            load_incluster_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
        except ConfigException:
            await _load_file(configuration, None)
        else:
            return Credentials(configuration.host, configuration.ssl_ca_cert, token_file=TOKEN_FILE)
    else:
        await _load_file(configuration, kubeconfig)
    header = await configuration.get_api_key_with_prefix("BearerToken") or ""
    return Credentials(
        server=configuration.host,
        ca_file=configuration.ssl_ca_cert,
        certificate_file=configuration.cert_file,
        key_file=configuration.key_file,
        fixed_token=header.rpartition(" ")[2] or None,
        verify=configuration.verify_ssl,
    )


async def _load_file(configuration: Configuration, path: str | None) -> None:
    await load_kube_config(  # type: ignore[no-untyped-call]
        config_file=path, client_configuration=configuration
    )

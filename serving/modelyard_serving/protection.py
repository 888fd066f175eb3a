"""What stands between a client and the model, made of the settings: the keys and the certificate."""

from dataclasses import dataclass
from functools import partial

from starlette.types import ASGIApp

from modelyard_serving.access import Access, Everybody, Guard, Keys
from modelyard_serving.gate import Gate
from modelyard_serving.metrics import Metrics
from modelyard_serving.rotation import Mounted
from modelyard_serving.settings import ServeSettings
from modelyard_serving.tls import Certificates


@dataclass(frozen=True, slots=True)
class Protection:
    """What every listener of this process asks, whatever its transport."""

    access: Access
    certificates: Certificates | None
    mounted: tuple[Mounted, ...]
    """What is to be read again while the server runs."""

    def guard(self, app: ASGIApp, metrics: Metrics) -> ASGIApp:
        """Return the application behind the keys."""
        return Guard(app, self.access, partial(metrics.rejected, "Unauthorized"))


def of(told: ServeSettings, gate: Gate, metrics: Metrics) -> Protection:
    """Return the protection that the settings ask for.

    Raises:
        BadCertificate: a folder is named, and holds no certificate.
    """
    keys = certificates = None
    if told.keys_file is not None:
        keys = Keys(told.keys_file, gate.hinder, partial(metrics.rotated, "keys"))
    if told.tls_folder is not None:
        certificates = Certificates(told.tls_folder, partial(metrics.rotated, "tls"))
    mounted = tuple(one for one in (keys, certificates) if one is not None)
    return Protection(keys or Everybody(), certificates, mounted)

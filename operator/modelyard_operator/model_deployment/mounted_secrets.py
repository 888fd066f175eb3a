"""Secrets in the serving pods: which ones, where, and what tells the server.  Pure.

The operator reads none of them.  They are mounted whole, since only such a mount is exchanged when its
Secret is.
"""

from dataclasses import dataclass

from modelyard_operator.api.resources import Obj
from modelyard_operator.api.v1alpha1.revision import Runtime

READ_BY_GROUP = 0o440


@dataclass(frozen=True, slots=True)
class MountedSecret:
    """One Secret in a pod."""

    name: str
    """Of the volume, and of its folder."""
    secret: str
    entry: str
    """The one that the server reads."""
    variable: str
    """What tells the server where that is."""

    @property
    def file(self) -> str:
        """Where the entry is in the pod."""
        return f"{self._folder}/{self.entry}"

    @property
    def volume(self) -> Obj:
        """The pod's volume."""
        source = {"secretName": self.secret, "defaultMode": READ_BY_GROUP}
        return {"name": self.name, "secret": source}

    @property
    def mount(self) -> Obj:
        """The container's mount."""
        return {"name": self.name, "mountPath": self._folder, "readOnly": True}

    @property
    def _folder(self) -> str:
        return f"/modelyard/{self.name}"


def of(runtime: Runtime) -> tuple[MountedSecret, ...]:
    """Return what a revision's pods mount."""
    found = []
    if runtime.access is not None:
        secret = runtime.access.secret_name
        found.append(MountedSecret("access", secret, "keys", "MODELYARD_KEYS_FILE"))
    if runtime.receipts is not None:
        secret = runtime.receipts.secret_name
        found.append(MountedSecret("receipts", secret, "key", "MODELYARD_RECEIPT_KEY_FILE"))
    return tuple(found)

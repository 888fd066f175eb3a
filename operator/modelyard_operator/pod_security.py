"""What every pod of ours keeps: the *restricted* Pod Security Standard, and no token."""

from modelyard_operator.api.resources import Obj

USER = 65532
"""The user and group that the images know."""

CONTAINER: Obj = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
"""The security context of a container."""

_POD: Obj = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(grace_seconds: int) -> Obj:
    """Return the part of a pod's spec that is the same for every pod of ours."""
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_seconds,
        "securityContext": _POD,
    }

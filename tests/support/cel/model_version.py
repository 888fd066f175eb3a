"""ModelVersion."""

from support.cel import Row

SHA = "sha256:" + "0" * 64
VALID = {
    "apiVersion": "modelyard.dev/v1alpha1",
    "kind": "ModelVersion",
    "metadata": {"name": "rain-v1"},
    "spec": {
        "training": "rain",
        "version": 1,
        "digest": SHA,
        "uri": "pvc://models/rain/versions/sha256-" + "0" * 64,
        "runKey": SHA,
        "run": "rain-0a1b2c3d",
        "trigger": "Spec",
        "dataDigest": SHA,
        "metrics": {"roc_auc": "0.83"},
        "verdict": "Blessed",
        "images": {"training": "modelyard.dev/training:dev"},
    },
}
ROWS = (
    Row(
        "a version cannot change; train again to get a new one",
        breaks={},
        changes={"spec.digest": "sha256:" + "1" * 64},
    ),
)

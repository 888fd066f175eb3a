"""DriftMonitor."""

from support.cel import Row

VALID = {
    "apiVersion": "modelyard.dev/v1alpha1",
    "kind": "DriftMonitor",
    "metadata": {"name": "rain"},
    "spec": {
        "deployment": "rain",
        "windows": ["1h", "24h"],
        "falseAlarms": {"budget": "0.5", "per": "30d"},
        "features": {"minimumEffect": "0.05"},
        "predictions": {"minimumEffect": "0.05"},
        "retrain": {"training": "rain", "confirm": {"windows": 2, "of": 3}},
    },
}
EFFECT = (
    "minimumEffect is a PSI from 0.001 to 10; 0.05 is a change worth knowing, 0.1 one worth "
    "acting on"
)
LENGTH = "a length here is 1m to 30d in whole minutes, hours or days, such as 1h"
ROWS = (
    Row(
        "metadata.name must have at most 63 characters, so that a training can remember it",
        breaks={"metadata.name": "a" * 64},
        keeps={"metadata.name": "a" * 63},
    ),
    Row(LENGTH, breaks={"spec.windows.0": "30s"}, keeps={"spec.windows.0": "1m"}),
    Row(LENGTH, breaks={"spec.falseAlarms.per": "31d"}, keeps={"spec.falseAlarms.per": "7d"}),
    Row(
        "budget must be above 0 and at most 100: false alarms within `per`, such as 0.5",
        breaks={"spec.falseAlarms.budget": "0"},
        keeps={"spec.falseAlarms.budget": "100"},
    ),
    Row(
        EFFECT,
        breaks={"spec.features.minimumEffect": "0"},
        keeps={"spec.features.minimumEffect": "0.001"},
    ),
    Row(
        EFFECT,
        breaks={"spec.predictions.minimumEffect": "11"},
        keeps={"spec.predictions.minimumEffect": "10"},
    ),
    Row(
        "confirm.windows must not be above confirm.of; 2 of 3 is a good start",
        breaks={"spec.retrain.confirm": {"windows": 4, "of": 3}},
        keeps={"spec.retrain.confirm": {"windows": 3, "of": 3}},
    ),
)

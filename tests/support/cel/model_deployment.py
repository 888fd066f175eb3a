"""ModelDeployment."""

from support.cel import Row

VALID = {
    "apiVersion": "modelyard.dev/v1alpha1",
    "kind": "ModelDeployment",
    "metadata": {"name": "rain"},
    "spec": {
        "model": {"training": "rain"},
        "runtime": {"tolerations": [{"key": "gpu", "operator": "Exists"}]},
        "rollout": {
            "steps": [{"mirror": 100, "minRequests": 500}, {"weight": 5}, {"weight": 25}],
            "analysis": {
                "falseAlarmRate": "0.05",
                "checks": [
                    {"type": "Errors", "margin": "2.0", "tolerance": "0.01"},
                    {"type": "Latency", "threshold": "50ms"},
                ],
            },
        },
    },
}
ROLLOUT = "spec.rollout"
ANALYSIS = "spec.rollout.analysis"
CHECK = "spec.rollout.analysis.checks.0"
LONG = "a" * 49
ROWS = (
    Row(
        "metadata.name must have at most 48 characters, so that the names of its children fit",
        breaks={"metadata.name": LONG},
        keeps={"metadata.name": LONG[1:]},
    ),
    Row(
        "metadata.name must start with a letter and contain only lower-case letters, digits and "
        "dashes, because a Service carries it",
        breaks={"metadata.name": "2.rain"},
    ),
    Row(
        "a toleration with operator Exists takes no value; drop value or use operator Equal",
        breaks={"spec.runtime.tolerations.0.value": "yes"},
    ),
    Row(
        "steps need at least one mirror or weight step: a pause shows nothing",
        breaks={f"{ROLLOUT}.steps": [{"pause": {}}]},
        keeps={f"{ROLLOUT}.steps": [{"weight": 5}, {"pause": {}}]},
    ),
    Row(
        "the weights of steps must increase, such as 5, 25, 50",
        breaks={f"{ROLLOUT}.steps": [{"weight": 25}, {"pause": {}}, {"weight": 5}]},
        keeps={f"{ROLLOUT}.steps": [{"weight": 5}, {"pause": {}}, {"weight": 6}]},
    ),
    Row(
        "mirror steps come before weight steps; move them up",
        breaks={f"{ROLLOUT}.steps": [{"weight": 5}, {"mirror": 100}]},
        keeps={f"{ROLLOUT}.steps": [{"mirror": 100}, {"weight": 5}]},
    ),
    Row(
        "a step is exactly one of mirror, weight or pause; split it into several steps",
        breaks={f"{ROLLOUT}.steps": [{"mirror": 50, "weight": 5}]},
    ),
    Row(
        "minRequests belongs to a mirror or weight step; drop it from the pause step",
        breaks={f"{ROLLOUT}.steps": [{"weight": 5}, {"pause": {}, "minRequests": 50}]},
    ),
    Row(
        "falseAlarmRate must be from 0.0001 to 0.5",
        breaks={f"{ANALYSIS}.falseAlarmRate": "0.6"},
        keeps={f"{ANALYSIS}.falseAlarmRate": "0.5"},
    ),
    Row(
        "checks must contain one of type Errors: without it a candidate that answers only errors "
        "would pass",
        breaks={f"{ANALYSIS}.checks": [{"type": "Latency", "threshold": "50ms"}]},
    ),
    Row(
        "two checks are the same; give each Latency check its own threshold, Errors only once",
        breaks={f"{ANALYSIS}.checks": [{"type": "Errors"}, {"type": "Errors"}]},
    ),
    Row(
        "a Latency check needs a threshold such as 50ms, an Errors check takes none",
        breaks={f"{CHECK}.threshold": "50ms"},
    ),
    Row(
        "margin must be above 1 and at most 100: how many times more bad events than stable would "
        "be too many",
        breaks={f"{CHECK}.margin": "1.0"},
        keeps={f"{CHECK}.margin": "1.1"},
    ),
    Row(
        "tolerance must be above 0 and at most 0.5: the share of bad events that is harmless",
        breaks={f"{CHECK}.tolerance": "0.6"},
        keeps={f"{CHECK}.tolerance": "0.5"},
    ),
)

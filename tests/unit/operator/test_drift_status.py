"""What a drift monitor says of a report: phase, conditions, numbers and reasons."""

from dataclasses import replace
from pathlib import Path

import pytest

from modelyard_core.watch import EpisodeState, WindowState
from modelyard_operator.drift_monitor import reasons
from support.drift_world import (
    Scene,
    a_problem,
    a_report,
    a_window,
    an_episode,
    drifting,
    seen,
)

HEALTHY = {"Ready": "True", "Available": "True", "Reconciling": "False", "Stalled": "False"}


@pytest.mark.parametrize(
    ("changes", "phase", "code", "truths"),
    [
        pytest.param(
            {"deployment": None, "report": None},
            "Waiting",
            "DeploymentNotFound",
            {"Ready": "False", "Stalled": "True", "DriftDetected": "Unknown"},
            id="no-deployment",
        ),
        pytest.param(
            {"deployment": replace(Scene().world.deployment, served=None), "report": None},
            "Waiting",
            "NoStableRevision",
            {"Ready": "False", "Reconciling": "True", "Stalled": "False"},
            id="nothing-serves-yet",
        ),
        pytest.param(
            {"report": None},
            "InsufficientData",
            "MonitorUnreachable",
            {"Ready": "False", "Available": "False", "DriftDetected": "Unknown"},
            id="monitor-is-silent",
        ),
        pytest.param(
            {"report": None, "refusal": "there are 1000 watches already"},
            "InsufficientData",
            "MonitorRefuses",
            {"Ready": "False", "Available": "False", "Stalled": "True"},
            id="monitor-refuses",
        ),
        pytest.param(
            {"report": a_report(error="no pod answers", windows=())},
            "InsufficientData",
            "NoSketches",
            {"Available": "False", "DriftDetected": "Unknown"},
            id="pods-are-silent",
        ),
        pytest.param(
            {"report": a_report(windows=())},
            "InsufficientData",
            "FirstWindow",
            HEALTHY | {"DriftDetected": "Unknown"},
            id="the-first-window-is-open",
        ),
        pytest.param(
            {"report": a_report(windows=(a_window(WindowState.INSUFFICIENT_DATA, 7),))},
            "InsufficientData",
            "InsufficientData",
            HEALTHY | {"DriftDetected": "Unknown"},
            id="too-few-rows",
        ),
        pytest.param({}, "Stable", "NoDrift", HEALTHY | {"DriftDetected": "False"}, id="calm"),
        pytest.param(
            {"report": a_report(episode=an_episode(state=EpisodeState.SUSPECT))},
            "Suspect",
            "Suspect",
            HEALTHY | {"DriftDetected": "False"},
            id="suspect",
        ),
        pytest.param(
            {"report": a_report(quality=(a_problem(),))},
            "DataQuality",
            "DataQuality",
            HEALTHY | {"DriftDetected": "Unknown"},
            id="bad-data",
        ),
        pytest.param(
            {"report": a_report(quality=(a_problem(blocking=False),))},
            "Stable",
            "NoDrift",
            HEALTHY | {"DriftDetected": "False"},
            id="doubtful-data-blocks-nothing",
        ),
        pytest.param(
            {"report": drifting(), "spec": {"retrain": None}},
            "Drifting",
            "Drifting",
            HEALTHY | {"DriftDetected": "True"},
            id="drift-is-not-a-failure",
        ),
        pytest.param(
            {"report": drifting()},
            "RetrainRequested",
            "Drifting",
            HEALTHY | {"DriftDetected": "True"},
            id="drift-asks-for-retraining",
        ),
        pytest.param(
            {"report": drifting(), "has_training": False},
            "Drifting",
            "Drifting",
            {"Ready": "True", "Stalled": "True", "DriftDetected": "True"},
            id="nobody-to-ask",
        ),
    ],
)
def test_what_is_said(changes, phase, code, truths):
    scene = seen(**changes)

    assert scene.phase == phase
    assert scene.condition("DriftDetected")["reason"] == code
    assert truths.items() <= scene.truths().items()
    assert all(c["observedGeneration"] == 1 for c in scene.status["conditions"])
    assert scene.status["summary"]


def test_the_numbers_are_told():
    scene = seen(report=drifting())

    assert scene.status["episode"]["confirmed"] == "2/2"
    assert scene.status["rows"] == 400
    assert scene.status["drifting"] == "dew_point"
    assert scene.status["budget"] == "1 of 0.5 in 30d"
    (window,) = scene.status["windows"]
    assert window["window"] == "1m"
    assert window["findings"] == [
        {
            "name": "dew_point",
            "psi": "1.5",
            "pValue": "<1e-99",
            "alpha": "1e-06",
            "moved": "30 % above 5",
        }
    ]
    assert (
        "dew_point has drifted (episode 1, 2/2 windows; dew_point: PSI 1.5, 30 % above 5"
        in (scene.status["summary"])
    )


def test_the_prediction_is_told_like_a_feature():
    found = a_window(WindowState.DRIFT)
    (feature,) = found.features
    prediction = replace(feature, name="prediction", psi=2.0)

    scene = seen(report=a_report(windows=(replace(found, prediction=prediction),)))

    (window,) = scene.status["windows"]
    assert [each["name"] for each in window["findings"]] == ["prediction", "dew_point"]


def test_a_window_in_which_nothing_had_enough_values_is_told_without_findings():
    scene = seen(report=a_report(windows=(replace(a_window(), features=()),)))

    assert scene.condition("DriftDetected")["message"] == "No drift in the last 1m (400 rows)."


def test_every_reason_is_documented():
    page = (Path(__file__).parents[3] / "docs/reasons/drift.md").read_text()
    codes = [value for name, value in vars(reasons).items() if name.isupper()]

    assert [code for code in codes if f"`{code}`" not in page] == []

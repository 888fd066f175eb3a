"""Plain curl, as the documentation shows it."""

import json
import subprocess


def curl(*arguments: str) -> tuple[int, dict]:
    """Run curl and return status and body."""
    done = subprocess.run(
        [
            *("curl", "--silent", "--noproxy", "*", "--max-time", "30"),
            *("--write-out", "\n%{http_code}", *arguments),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    body, _, status = done.stdout.rpartition("\n")
    return int(status), json.loads(body)


def rows(*temps: float) -> str:
    count = len(temps)
    return json.dumps(
        {
            "id": "a-7",
            "inputs": [
                {"name": "temp", "datatype": "FP32", "shape": [count, 1], "data": temps},
                {"name": "wind", "datatype": "FP32", "shape": [count, 1], "data": [0.5] * count},
                {
                    "name": "station",
                    "datatype": "BYTES",
                    "shape": [count, 1],
                    "data": ["a"] * count,
                },
            ],
        }
    )


def test_an_inference_needs_no_header(rain):
    status, answer = curl(f"{rain.url}/v2/models/rain/infer", "--data-raw", rows(-2.0, 2.0))

    assert status == 200
    assert answer["id"] == "a-7"
    assert answer["outputs"][0] == {
        "name": "label",
        "datatype": "INT64",
        "shape": [2],
        "data": [0, 1],
    }


def test_a_large_body_is_sent_after_it_was_asked_for(rain, tmp_path):
    """Curl sends `Expect: 100-continue` with large bodies and waits for the answer to it."""
    path = tmp_path / "rows.json"
    path.write_text(rows(*[float(i % 7 - 3) for i in range(1024)]) + " " * (1 << 20))

    status, answer = curl(
        f"{rain.url}/v2/models/rain/infer",
        *("--data-binary", f"@{path}", "--expect100-timeout", "20"),
    )

    assert status == 200
    assert answer["outputs"][0]["shape"] == [1024]


def test_answers_are_packed_on_demand(rain):
    status, answer = curl(
        f"{rain.url}/v2/models/rain/infer", "--compressed", "--data-raw", rows(2.0)
    )

    assert (status, answer["outputs"][0]["data"]) == (200, [1])


def test_several_requests_share_a_connection(rain):
    done = subprocess.run(
        [
            *("curl", "--silent", "--noproxy", "*", "--fail", "--max-time", "30"),
            *(
                "--write-out",
                "\n%{num_connects}\n",
                f"{rain.url}/v2/health/ready",
                f"{rain.url}/v2",
            ),
        ],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "0"


def test_a_mistake_is_told_in_json(rain):
    status, answer = curl(f"{rain.url}/v2/models/rain/infer", "--data-raw", "{}")

    assert status == 400
    assert list(answer) == ["error"]

"""Live counts equal the requests that were answered, whoever asked, in whatever order."""

import asyncio
import dataclasses
import weakref
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard_core import codec
from modelyard_core.reference import CategoryProfile, FourierProfile, NumericProfile, bin_of
from modelyard_core.roles import Role
from modelyard_core.signature import Tensor
from modelyard_core.sketch import RoleSketch, Sketch, merge
from modelyard_serving import recorder
from modelyard_serving.errors import Unservable
from modelyard_serving.identity import Identity
from modelyard_serving.scores import scores_of
from support import onnx_models
from support.serving import INFER, rows

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
IDENTITY = Identity("b00t", NOON, "rain", "1", "sha256:ab")
STATIONS = ["north", "south", "east", "west", ""]


def a_recorder(profile=onnx_models.RAIN_PROFILE, later=lambda *_: None):
    return recorder.Recorder(IDENTITY, onnx_models.RAIN, profile, later)


def columns(temp, wind, station):
    return {
        "temp": np.array(temp, np.float32).reshape(-1, 1),
        "wind": np.array(wind, np.float32).reshape(-1, 1),
        "station": np.array(station, object).reshape(-1, 1),
    }


def record(counts, role, table):
    temp, wind, station, score = zip(*table, strict=True) if table else ((), (), (), ())
    counts.record(role, len(table), columns(temp, wind, station), np.array(score, np.float32))


singles = st.floats(width=32, allow_nan=True, allow_infinity=False)
tables = st.lists(
    st.tuples(singles, singles, st.sampled_from(STATIONS), st.floats(0, 1, width=32)), max_size=6
)


def expected(profile: NumericProfile, values) -> dict:
    """Count by the definition, one value at a time."""
    edges = [float(np.float32(edge)) for edge in profile.edges]
    low, high = float(np.float32(profile.minimum)), float(np.float32(profile.maximum))
    present = [value for value in values if value == value]  # noqa: PLR0124 - NaN is not itself
    bins = [0] * (len(edges) + 1)
    for value in present:
        bins[bin_of(edges, value)] += 1
    return {
        "bins": tuple(bins),
        "missing": len(values) - len(present),
        "new": 0,
        "out_of_range": sum(not low <= value <= high for value in present),
        "sums": None,
    }


@given(st.lists(st.tuples(st.sampled_from(Role), tables), max_size=8))
def test_counts_follow_the_definition_for_each_role(batches):
    counts = a_recorder()

    for role, table in batches:
        record(counts, role, table)

    sketch = counts.snapshot(NOON)
    assert set(sketch.roles) == {role.value for role, _ in batches}
    for role, seen in sketch.roles.items():
        table = [row for who, part in batches if who == role for row in part]
        assert seen.requests == sum(who == role for who, _ in batches)
        assert seen.rows == len(table)
        for place, column in enumerate(onnx_models.RAIN_PROFILE.numeric):
            found = dataclasses.asdict(seen.features[column.name])
            assert found == expected(column, [row[place] for row in table])
        score = dataclasses.asdict(seen.prediction)
        assert score == expected(onnx_models.RAIN_PROFILE.prediction, [row[3] for row in table])
        stations = [row[2] for row in table]
        station = seen.features["station"]
        assert station.bins == tuple(stations.count(name) for name in ("north", "south", "east"))
        assert (station.missing, station.new) == (stations.count(""), stations.count("west"))


@given(st.lists(tables, max_size=6), st.integers(0, 6))
def test_a_reader_in_between_changes_nothing(batches, read_after):
    undisturbed, disturbed = a_recorder(), a_recorder()

    for index, table in enumerate(batches):
        record(undisturbed, Role.STABLE, table)
        record(disturbed, Role.STABLE, table)
        if index == read_after:
            disturbed.snapshot(NOON)

    assert disturbed.snapshot(NOON) == undisturbed.snapshot(NOON)


def test_a_value_on_an_edge_stays_in_its_bin_after_rounding_to_the_models_type():
    counts = a_recorder()

    record(counts, Role.DIRECT, [(0.0, 0.1, "north", 0.5), (0.0, 0.2, "north", 0.5)])

    assert counts.snapshot(NOON).roles["direct"].features["wind"].bins == (1, 1, 0)


def test_counting_waits_until_later_and_less_when_there_is_much():
    asked = []
    counts = a_recorder(later=lambda seconds, callback: asked.append((seconds, callback)))

    record(counts, Role.DIRECT, [(0, 0, "north", 0.5)])
    record(counts, Role.DIRECT, [(0, 0, "north", 0.5)])
    assert [seconds for seconds, _ in asked] == [recorder.FOLD_AFTER_SECONDS]
    for _ in range(2):
        record(counts, Role.DIRECT, [(0, 0, "north", 0.5)] * recorder.MOST_ROWS)
    assert [seconds for seconds, _ in asked] == [recorder.FOLD_AFTER_SECONDS, 0]
    while asked:
        asked.pop(0)[1]()
    record(counts, Role.DIRECT, [(0, 0, "north", 0.5)])

    assert [seconds for seconds, _ in asked] == [recorder.FOLD_AFTER_SECONDS]
    assert counts.snapshot(NOON).roles["direct"].rows == 2 * recorder.MOST_ROWS + 3


def test_much_is_counted_in_pieces_between_which_others_get_their_turn(monkeypatch):
    monkeypatch.setattr(recorder, "TURN_SECONDS", 0)
    loop = Loop()
    counts = a_recorder(later=loop.later)
    piece = recorder.MOST_ROWS

    record(counts, Role.DIRECT, [(0, 0, "north", 0.5)] * (5 * piece + 1))
    turns = 0
    while loop.soon:
        loop.step()
        turns += 1

    assert turns == 4 + 4  # as long as several wait one piece in each, then one step of the last
    seen = counts.snapshot(NOON).roles["direct"]
    assert (seen.requests, seen.rows) == (1, 5 * piece + 1)


def test_what_waits_is_bounded_even_if_nobody_gets_a_turn():
    counts = a_recorder()
    table = [(0, 0, "north", 0.5)] * 4000
    limit = recorder.MAX_WAITING_BYTES // recorder.REQUEST_BYTES

    for _ in range(20):
        record(counts, Role.DIRECT, table)
        assert counts._waiting_rows <= limit + len(table)

    assert counts.snapshot(NOON).roles["direct"].rows == 20 * len(table)


def test_what_no_column_is_in_is_not_kept():
    signature = dataclasses.replace(
        onnx_models.RAIN, inputs=(*onnx_models.RAIN.inputs, Tensor("photo", "UINT8", (-1, 9, 9)))
    )
    counts = recorder.Recorder(IDENTITY, signature, onnx_models.RAIN_PROFILE, lambda *_: None)
    photo = np.zeros((1, 9, 9), np.uint8)
    kept = weakref.ref(photo)

    feeds = {**columns([0.0], [0.0], ["north"]), "photo": photo}
    counts.record(Role.DIRECT, 1, feeds, np.array([[0.5]], np.float32))
    del photo, feeds

    assert kept() is None


SUMMED = dataclasses.replace(
    onnx_models.RAIN_PROFILE,
    numeric=tuple(
        dataclasses.replace(each, mean=0.1, scale=0.7) for each in onnx_models.RAIN_PROFILE.numeric
    ),
    prediction=dataclasses.replace(onnx_models.RAIN_PROFILE.prediction, mean=0.5, scale=0.2),
    fourier=FourierProfile(("temp", "wind"), 1, 1.5, 1, (0,) * 8, (1.0, 1.0, 1.0)),
)
plans = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(Role),
        tables,
        st.sampled_from(["alone", "together", "read", "count"]),
    ),
    max_size=10,
)


def as_batch(counts, role, table):
    """Record a table as requests of one row that ran together."""
    temp, wind, station, score = zip(*table, strict=True) if table else ((), (), (), ())
    scores = np.array(score, np.float32)
    ids = [None] * len(table)
    counts.record_batch(role, len(table), len(table), columns(temp, wind, station), scores, ids)


class Loop:
    """An event loop that calls back when it is told to."""

    def __init__(self):
        self.soon, self.timers = [], []

    def later(self, seconds, callback):
        (self.timers if seconds else self.soon).append(callback)

    def turn(self):
        """Call back all that wanted no delay, and what these want."""
        while self.soon:
            self.step()

    def step(self):
        """Call back the first that wanted no delay."""
        if self.soon:
            self.soon.pop(0)()

    def wait(self):
        """Let the time of all timers be over."""
        timers, self.timers = self.timers, []
        for callback in timers:
            callback()


WORK = st.lists(
    st.tuples(
        st.sampled_from(Role),
        st.sampled_from([0, 1, 1, 5, 60, 1000, 1024, 1025, 2500]),
        st.sampled_from(["one", "together", "apart"]),
        st.sampled_from(["", "", "turn", "step", "step", "wait", "read"]),
    ),
    max_size=12,
)
CALM = (0.5, 0.15, "north", 0.25)


def record_some(counts, role, size, how):
    """Record so many rows: of one request, of as many that ran together, or some each by itself."""
    if how == "apart":
        size = 1 + size % 100
    ways = {"one": record, "together": as_batch, "apart": one_by_one}
    ways[how](counts, role, [CALM] * size)
    return size


@settings(max_examples=50)
@given(WORK, st.sampled_from([0.0, 1000.0]))
def test_counting_keeps_pace_and_one_timer_counts_the_rest(work, turn_seconds):
    loop = Loop()
    counts = a_recorder(SUMMED, loop.later)
    rows = dict.fromkeys([role for role, *_ in work], 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recorder, "TURN_SECONDS", turn_seconds)
        for role, size, how, then in work:
            rows[role] += record_some(counts, role, size, how)
            assert len(loop.timers) == 1
            if then == "read":
                counts.snapshot(NOON)
            elif then:
                {"turn": loop.turn, "step": loop.step, "wait": loop.wait}[then]()
            is_much = counts._waiting_rows >= counts._piece_rows
            assert is_much <= len(loop.soon) <= 1
            assert then != "turn" or counts._waiting_rows < counts._piece_rows
            assert len(loop.timers) <= 1
    loop.turn()
    loop.wait()

    assert (counts._waiting_rows, loop.timers, loop.soon) == (0, [], [])
    seen = {Role(name): role.rows for name, role in counts.snapshot(NOON).roles.items()}
    assert seen == rows


def test_a_bug_in_a_step_ends_its_piece_and_no_other(monkeypatch):
    loop = Loop()
    counts = a_recorder(SUMMED, loop.later)
    record(counts, Role.DIRECT, [CALM] * recorder.MOST_ROWS)
    with monkeypatch.context() as patch:
        patch.setattr(recorder.Numbers, "add_bins", None)
        with pytest.raises(TypeError):
            loop.turn()

    record(counts, Role.DIRECT, [CALM] * recorder.MOST_ROWS)
    loop.turn()

    assert (counts._waiting_rows < counts._piece_rows, loop.soon) == (True, [])
    counts.snapshot(NOON)
    record(counts, Role.DIRECT, [CALM])
    assert counts.snapshot(NOON).roles["direct"].requests == 3


def test_a_timer_that_finds_much_waits_again_for_the_rest():
    loop = Loop()
    counts = a_recorder(SUMMED, loop.later)
    record(counts, Role.DIRECT, [CALM] * (3 * recorder.MOST_ROWS + 1))
    timers = 0
    while loop.timers:
        loop.wait()
        timers += 1
        assert len(loop.timers) <= 1

    assert timers == 4
    assert counts._waiting_rows == 0


def test_each_row_by_itself_or_a_thousand_at_once_are_counted_before_they_are_many():
    loop = Loop()
    counts = a_recorder(SUMMED, loop.later)
    for number in range(300):
        if number % 100 == 0:
            as_batch(counts, Role.STABLE, [CALM] * 1000)
        record(counts, Role.CANARY, [CALM])
        loop.turn()
        assert counts._waiting_rows < counts._piece_rows <= recorder.MOST_ROWS

    assert len(loop.timers) == 1
    roles = counts.snapshot(NOON).roles
    assert (roles["stable"].requests, roles["canary"].requests) == (3000, 300)


class Pod:
    """A process whose event loop does what the test says."""

    def __init__(self):
        self.due = []
        self.counts = a_recorder(SUMMED, lambda _, callback: self.due.append(callback))

    def answer(self, role, table, how):
        if how == "together":
            as_batch(self.counts, role, table)
        else:
            one_by_one(self.counts, role, table)
        if how == "read":
            self.counts.snapshot(NOON)
        while how == "count" and self.due:
            self.due.pop()()


def one_by_one(counts, role, table):
    for row in table:
        record(counts, role, [row])


def together(sketches):
    merged: dict[str, RoleSketch] = {}
    for role, seen in [pair for sketch in sketches for pair in sketch.roles.items()]:
        if seen.requests:
            merged[role] = merge(merged[role], seen) if role in merged else seen
    return merged


@settings(max_examples=50)
@given(plans)
def test_no_order_and_no_division_of_the_work_changes_a_total(plan):
    """Three processes, read and counted at any moment, against one that got row after row."""
    pods = [Pod(), Pod(), Pod()]
    one = a_recorder(SUMMED)

    for which, role, table, how in plan:
        pods[which].answer(role, table, how)
        one_by_one(one, role, table)

    assert together(pod.counts.snapshot(NOON) for pod in pods) == one.snapshot(NOON).roles


@pytest.mark.parametrize(
    ("scores", "expected_scores"),
    [
        pytest.param([[0.3, 0.7]], [0.7], id="the-last-of-two-classes"),
        pytest.param([[0.5, 0.3, 0.2]], [0.5], id="the-winner-of-several"),
        pytest.param([[4.0], [5.0]], [4.0, 5.0], id="the-predicted-value"),
        pytest.param([4.0, 5.0], [4.0, 5.0], id="a-flat-value"),
        pytest.param([[[1.0, 3.0], [2.0, 0.0]]], [3.0], id="the-winner-of-a-table"),
    ],
)
def test_one_score_is_taken_from_each_row(scores, expected_scores):
    assert scores_of(np.array(scores)).tolist() == expected_scores


UNKNOWN = NumericProfile("fog", (0.0,), (0, 0), 0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"numeric": (UNKNOWN,)}, "column 'fog' is no input", id="an-unknown-column"),
        pytest.param(
            {"numeric": (dataclasses.replace(UNKNOWN, name="station"),)},
            "'station' has numbers, the model's input 'station' is BYTES",
            id="numbers-where-the-model-takes-text",
        ),
        pytest.param(
            {"categories": (CategoryProfile("temp", (), (0,), (), 0),)},
            "'temp' has texts, the model's input 'temp' is FP32",
            id="text-where-the-model-takes-numbers",
        ),
    ],
)
def test_a_profile_of_other_columns_is_refused(changes, sentence):
    with pytest.raises(Unservable, match=sentence):
        a_recorder(dataclasses.replace(onnx_models.RAIN_PROFILE, **changes))


async def test_totals_equal_the_requests_whatever_the_concurrency(rain):
    """Replay 600 requests, some of them wrong, 50 at a time, with readers all along."""
    generator = np.random.default_rng(7)
    roles = [role.value for role in Role]
    plan = [(int(generator.integers(1, 5)), roles[int(generator.integers(4))]) for _ in range(600)]
    gate = asyncio.Semaphore(50)
    totals = []

    async def ask(index, count, role):
        body = {"inputs": rows(generator.normal(size=count).tolist())}
        if index % 10 == 0:
            body["inputs"].pop()
        async with gate:
            answer = await rain.http.post(INFER, json=body, headers={"x-modelyard-role": role})
            if index % 25 == 0:
                totals.append((await rain.http.get("/v1/sketch")).json())
        assert answer.status_code == (400 if index % 10 == 0 else 200)

    async with asyncio.TaskGroup() as group:
        for index, (count, role) in enumerate(plan):
            group.create_task(ask(index, count, role))
    sketch = codec.decode(Sketch, (await rain.http.get("/v1/sketch")).json())

    assert len({total["boot"] for total in totals}) == 1
    for role in roles:
        answered = [count for i, (count, who) in enumerate(plan) if who == role and i % 10]
        seen = sketch.roles[role]
        assert (seen.requests, seen.rows) == (len(answered), sum(answered))
        for counts in (*seen.features.values(), seen.prediction):
            assert sum(counts.bins) + counts.missing + counts.new == sum(answered)


async def test_an_unknown_role_counts_as_direct(rain):
    await rain.http.post(INFER, json={"inputs": rows([1])}, headers={"x-modelyard-role": "king"})

    assert list((await rain.http.get("/v1/sketch")).json()["roles"]) == ["direct"]

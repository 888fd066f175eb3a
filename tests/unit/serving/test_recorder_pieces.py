"""Pieces of any sizes, roles and types, counted in memory that is used again, against the definition."""

from collections import Counter
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard_core import fourier
from modelyard_core.reference import FourierProfile, NumericProfile, Profile, bin_of
from modelyard_core.roles import Role
from modelyard_core.signature import Signature, Tensor
from modelyard_core.sketch import Counts
from modelyard_serving.identity import Identity
from modelyard_serving.recorder import MOST_ROWS, Recorder
from support.standardised import standardised

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
WHO = Identity("b00t", NOON, "rain", "1", "sha256:ab")
TEMP = NumericProfile("temp", (-1.0, 0.1, 1.0), (), 0, -3.0, 3.0, "x", 0, mean=0.1, scale=1.7)
WIND = NumericProfile("wind", (0.1, 0.5), (), 0, 0.0, 0.7, "x", 1, mean=0.3, scale=0.2)
OLD = NumericProfile("old", (0.3,), (), 0, 0.1, 0.9, "x", 2)
SCORE = NumericProfile("y", (0.1, 0.7), (), 0, 0.1, 0.9, mean=0.5, scale=0.2)
FOURIER = FourierProfile(("temp", "wind"), 3, 2.0, 1, (0,) * 8, (1.0, 1.0, 1.0))
PROFILE = Profile(10, (TEMP, WIND, OLD), (), SCORE, FOURIER)
COLUMNS = (*PROFILE.numeric, SCORE)
DTYPES = {"FP32": np.float32, "FP64": np.float64}
TYPES = [("FP32", "FP32"), ("FP32", "FP64"), ("FP64", "FP32"), ("FP64", "FP64")]
"""Of the features and of the score."""


def some_rows():
    """Return rows of features and their score, with what is missing in some columns only."""
    dice = np.random.default_rng(5)
    table = dice.normal(0.3, 0.6, (48, 4))
    table[3:6, 0] = table[5:8, 1] = table[7:10, 2] = table[12:15, 3] = np.nan
    table[9, :3] = np.nan
    table[20:26, 0] = [np.inf, -np.inf, 1e30, -1e30, 1e-40, -0.0]
    edges = [edge for column in COLUMNS for edge in (*column.edges, column.minimum, column.maximum)]
    table[30:44] = np.array(edges)[dice.integers(0, len(edges), (14, 4))]
    return table


ROWS = some_rows()


def seen(datatypes, row):
    """Return a row's values as the model saw and gave them, in plain numbers."""
    kinds = [datatypes[0]] * 3 + [datatypes[1]]
    return [float(DTYPES[kind](value)) for kind, value in zip(kinds, row, strict=True)]


def counted(profile, datatype, values) -> Counts:
    """Count values that are there so many times by the definition, one value after the other."""
    edges, ends = (
        [float(DTYPES[datatype](each)) for each in numbers]
        for numbers in (profile.edges, (profile.minimum, profile.maximum))
    )
    bins = [0] * (len(edges) + 1)
    missing = outside = total = squares = 0
    for value, times in values:
        if np.isnan(value):
            missing += times
            continue
        bins[bin_of(edges, value)] += times
        outside += times * (not ends[0] <= value <= ends[1])
        z = standardised(profile, value) if profile.mean is not None else 0
        total, squares = total + times * z, squares + times * z * z
    sums = None if profile.mean is None else (total, squares)
    return Counts(tuple(bins), missing=missing, new=0, out_of_range=outside, sums=sums)


WEIGHTS = [fourier.weights(3, name, 2.0, 8) for name in FOURIER.columns]


def features(values):
    """Return Σ f over rows that are there so many times."""
    total = np.zeros(8, np.int64)
    for row, times in values:
        units = [standardised(TEMP, row[0]), standardised(WIND, row[1])]
        total += times * np.array(fourier.features(units, WEIGHTS, fourier.offsets(3, 8)))
    return tuple(total.tolist())


def check(datatypes, role, times):
    """Check what a role has seen: each of the rows so many times."""
    table = [(seen(datatypes, ROWS[place]), count) for place, count in times.items()]
    for place, column in enumerate(COLUMNS):
        found = role.prediction if column is SCORE else role.features[column.name]
        datatype = datatypes[column is SCORE]
        assert found == counted(column, datatype, [(row[place], n) for row, n in table])
    assert role.fourier == features(table)
    assert role.rows == sum(times.values())


class World:
    """A recorder of one model, and an event loop that turns when it is told to."""

    def __init__(self, datatypes):
        self.kinds = [DTYPES[each] for each in datatypes]
        inputs, outputs = Tensor("x", datatypes[0], (-1, 3)), Tensor("y", datatypes[1], (-1, 1))
        signature = Signature("Regression", (inputs,), (outputs,), score="y")
        self.due = []
        self.recorder = Recorder(WHO, signature, PROFILE, lambda _, done: self.due.append(done))
        self.times: dict[Role, Counter[int]] = {}

    def record(self, role, places, *, alone):
        """Record these of the rows: each alone, or all as one request."""
        self.times.setdefault(role, Counter()).update(places.tolist())
        pieces = np.split(places, len(places)) if alone and len(places) else [places]
        for piece in pieces:
            feeds = {"x": ROWS[piece, :3].astype(self.kinds[0])}
            scores = ROWS[piece, 3:].astype(self.kinds[1])
            self.recorder.record(role, len(piece), feeds, scores)

    def turn(self):
        due, self.due = self.due, []
        for done in due:
            done()

    def check(self, datatypes):
        roles = self.recorder.snapshot(NOON).roles
        assert set(roles) == {role.value for role in self.times}
        for role, times in self.times.items():
            check(datatypes, roles[role.value], times)


sizes = st.sampled_from(
    [0, 1, 2, 7, 8, 63, 64, 65, 300, MOST_ROWS - 1, MOST_ROWS, 2 * MOST_ROWS + 1]
)
plans = st.lists(
    st.tuples(st.sampled_from(Role), sizes, st.booleans(), st.booleans()), min_size=1, max_size=8
)


@pytest.mark.slow
@settings(max_examples=40)
@given(plans, st.sampled_from(TYPES), st.integers(0, 1000))
def test_pieces_of_any_sizes_are_counted_as_the_definition_says(plan, datatypes, seed):
    dice = np.random.default_rng(seed)
    world = World(datatypes)
    for role, size, alone, turns in plan:
        world.record(role, dice.integers(0, len(ROWS), size), alone=alone and size < 100)
        if turns:
            world.turn()

    world.check(datatypes)


@pytest.mark.parametrize("datatypes", TYPES, ids=" ".join)
def test_features_and_score_of_different_types_are_each_compared_in_their_own(datatypes):
    world = World(datatypes)
    world.record(Role.DIRECT, np.arange(len(ROWS)), alone=False)
    world.turn()
    world.record(Role.DIRECT, np.arange(len(ROWS)), alone=True)

    world.check(datatypes)


@pytest.mark.parametrize("datatypes", TYPES, ids=" ".join)
def test_a_small_piece_after_a_large_one_sees_nothing_of_it(datatypes):
    """The large one has everything that is odd, the small ones have none of it, and the other way."""
    odd, plain = np.arange(30), np.arange(44, 48)
    world = World(datatypes)
    for large, small in ((odd, plain), (plain, odd)):
        for size in (MOST_ROWS, 1, 5, 100, 3, MOST_ROWS, 2):
            world.record(Role.STABLE, np.resize(large if size > 50 else small, size), alone=False)
            world.recorder.snapshot(NOON)

    world.check(datatypes)


def test_roles_that_come_in_turns_share_a_piece_and_are_counted_apart():
    world = World(TYPES[1])
    for number in range(200):
        places = np.arange(number, number + 1 + number % 4) % len(ROWS)
        world.record(list(Role)[number % len(Role)], places, alone=False)
    world.turn()

    world.check(TYPES[1])


@pytest.mark.parametrize("column", range(4))
def test_what_is_missing_in_one_column_takes_nothing_from_the_sums_of_another(column):
    whole = [place for place, row in enumerate(ROWS) if not np.isnan(row).any()]
    holes = [place for place, row in enumerate(ROWS) if np.isnan(row[column])]
    world = World(TYPES[0])
    for places in (whole, holes, [*holes, *whole], [*whole, holes[0]]):
        world.record(Role.SHADOW, np.array(places), alone=False)
        world.recorder.snapshot(NOON)

    world.check(TYPES[0])

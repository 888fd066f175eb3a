"""Adding what processes counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_core.sketch import Counts, RoleSketch, add, merge

numbers = st.integers(0, 10**6)


def counts(bins):
    return st.builds(
        Counts,
        bins=st.tuples(*[numbers] * bins),
        missing=numbers,
        new=numbers,
        out_of_range=numbers,
        sums=st.tuples(st.integers(-(10**9), 10**9), numbers),
    )


sketches = st.builds(
    RoleSketch,
    rows=numbers,
    requests=numbers,
    features=st.fixed_dictionaries({"temp": counts(3), "wind": counts(2)}),
    prediction=counts(4),
    fourier=st.tuples(*[st.integers(-(10**9), 10**9)] * 2),
)


@given(sketches, sketches, sketches)
def test_processes_are_added_in_any_order(one, two, three):
    assert merge(one, two) == merge(two, one)
    assert merge(merge(one, two), three) == merge(one, merge(two, three))


def test_a_sum_that_one_side_has_not_is_not_known_for_both():
    old, new = Counts((1,)), Counts((2,), sums=(3, 9))

    assert add(old, new) == Counts((3,))


@given(sketches)
def test_sketches_of_different_profiles_are_not_added(one):
    other = RoleSketch(1, 1, {"temp": Counts((0, 0, 0))}, Counts((0, 0, 0, 0)))

    with pytest.raises(ValueError, match="different features"):
        merge(one, other)
    with pytest.raises(ValueError, match="zip"):
        add(Counts((1, 2)), Counts((1,)))

"""From suspicion to calm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_core.watch import EpisodeState, RetrainRule
from modelyard_monitor.episode import Evidence, advance

RULE = RetrainRule(confirm_windows=2, confirm_of=3)
MINUTE, HOUR = 60, 3_600


def played(signs, rule=RULE, seconds=MINUTE):
    """Play windows of one scale: `!` hits, `-` is neither, `.` is quiet."""
    return list(run([(seconds, sign) for sign in signs], rule))


def run(windows, rule=RULE, scales=(MINUTE, HOUR)):
    track, number = None, 0
    tested = {scale: [] for scale in scales}
    for index, (seconds, sign) in enumerate(windows):
        window = Evidence(seconds, (index + 1) * MINUTE, sign == "!", sign == ".", ("x0",))
        tested[seconds].append(window)
        recent = {scale: each[-rule.confirm_of :] for scale, each in tested.items()}
        track = advance(track, window, recent, rule, number + 1)
        number = max(number, track.number if track else 0)
        yield track


def states(tracks):
    return "".join(track.state[0] if track else "." for track in tracks)


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        pytest.param("....", "....", id="calm-stays-calm"),
        pytest.param("!...", "SSS.", id="one-hit-is-suspect-until-three-quiet-windows"),
        pytest.param("!!", "SD", id="two-of-three-confirm"),
        pytest.param("!.!", "SSD", id="two-of-three-need-not-be-neighbours"),
        pytest.param("!..!", "SSSS", id="two-of-four-do-not-confirm"),
        pytest.param("!!...", "SDDD.", id="three-quiet-windows-end-it"),
        pytest.param("!!.-.", "SDDDD", id="a-window-on-the-edge-is-not-quiet"),
        pytest.param("!!---...", "SDDDDDD.", id="hysteresis"),
        pytest.param("!!...!", "SDDD.S", id="a-new-episode"),
    ],
)
def test_the_course_of_an_episode(signs, expected):
    assert states(played(signs)) == expected


def test_one_of_one_confirms_at_once():
    assert states(played("!.", RetrainRule(1, 1))) == "D."


def test_episodes_are_numbered_and_remember_their_onset():
    *_, last = played("!!....!!")

    assert (last.number, last.onset, last.since) == (2, 6 * MINUTE, 8 * MINUTE)
    assert last.features == ("x0",)
    assert last.hits == 2


def test_windows_of_another_scale_do_not_confirm():
    assert states(run([(MINUTE, "!"), (HOUR, "!")])) == "SS"


def test_the_scale_that_confirmed_has_to_be_quiet():
    windows = [(HOUR, "!"), (HOUR, "!"), *[(MINUTE, ".")] * 5, *[(HOUR, ".")] * 3]

    assert states(run(windows)) == "SDDDDDDDD."


def test_a_hit_of_a_long_window_does_not_prolong_what_a_short_one_confirmed():
    windows = [(MINUTE, "!"), (MINUTE, "!"), (HOUR, "!"), *[(MINUTE, ".")] * 3]

    assert states(run(windows)) == "SDDDD."


def test_a_scale_that_is_no_longer_watched_does_not_hold_an_episode_open():
    *_, track = run([(HOUR, "!"), (HOUR, "!")])
    window = Evidence(MINUTE, 10 * HOUR, hit=False, quiet=True)

    assert advance(track, window, {MINUTE: [window]}, RULE, 2) is None


@given(st.lists(st.tuples(st.sampled_from([MINUTE, HOUR]), st.sampled_from("!-.")), max_size=60))
def test_numbers_grow_and_confirmation_needs_hits(windows):
    number, open_before = 0, None
    for track, (_, sign) in zip(run(windows), windows, strict=True):
        if track is not None and open_before is None:
            assert track.number == number + 1
            assert sign == "!"
        if track is not None and open_before is not None:
            assert track.number == open_before.number
            assert not (
                open_before.state is EpisodeState.DRIFTING and track.state is EpisodeState.SUSPECT
            )
        number = max(number, track.number if track else 0)
        open_before = track

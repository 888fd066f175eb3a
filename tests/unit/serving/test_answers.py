"""What is kept for comparison: the same requests on both sides, in order, none twice."""

from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard_core import answers as kept
from modelyard_core import codec
from modelyard_core.answers import Answers
from modelyard_core.roles import Role
from modelyard_serving import answers
from modelyard_serving.answers import Ring
from modelyard_serving.errors import InvalidRequest
from modelyard_serving.identity import Identity
from support.serving import INFER, rows

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
WHO = Identity("b00t", NOON, "rain", "1", "sha256:ab")
SCORES = np.array([[0.75, 0.25]], np.float32)


def offer(ring, ids, role=Role.STABLE, now=NOON):
    ring.begin(now)
    for each in ids:
        if ring.chosen([each]):
            ring.add(each, role, SCORES)


def ids_of(page):
    return [each.id for each in page.answers]


def test_a_calm_process_keeps_everything():
    ring = Ring(WHO)

    offer(ring, [f"r-{i}" for i in range(50)])

    assert ids_of(ring.page("", 1000)) == [f"r-{i}" for i in range(50)]


def test_a_busy_process_keeps_what_a_calm_one_keeps_too():
    """The shadow sees one request in ten of what stable sees: their samples still meet."""
    names = [f"{i:08x}-id" for i in range(40_000)]
    busy, calm = Ring(WHO, per_second=100, kept=100_000), Ring(WHO, per_second=100, kept=100_000)

    for second in range(20):
        now = NOON + timedelta(seconds=second)
        mine = names[second * 2000 : (second + 1) * 2000]
        offer(busy, mine, now=now)
        offer(calm, mine[::10], Role.SHADOW, now)

    of_busy, of_calm = (set(ids_of(ring.page("", 10**6))) for ring in (busy, calm))
    assert 20 * 40 < len(of_busy) < 20 * 250
    copies = of_busy & set(names[::10])
    assert len(copies & of_calm) > 0.9 * len(copies)
    assert len(copies) > 100


def test_a_process_that_calms_down_keeps_everything_again():
    ring = Ring(WHO, per_second=10)
    offer(ring, [f"r-{i}" for i in range(5000)])

    offer(ring, ["late"], now=NOON + timedelta(seconds=1))
    offer(ring, ["later"], now=NOON + timedelta(minutes=1))

    assert ids_of(ring.page("", 1000))[-1] == "later"
    assert len(ring.page("", 1000).answers) < 150


def test_nothing_is_kept_where_that_is_off():
    ring = Ring(WHO, per_second=0)

    for second in range(100):
        offer(ring, ["r-1"], now=NOON + timedelta(seconds=second))

    assert ring.page("", 10).answers == ()


@pytest.mark.parametrize("odd", ["", "x" * 129, "zweiä", "a\nb", "\ud800"])
def test_an_odd_id_is_never_kept(odd):
    assert kept.chosen([odd, None], 0) == []


@pytest.mark.parametrize("odd", [None, "", "\ud800"])
def test_which_ids_are_kept_does_not_depend_on_the_others(odd):
    ids = [f"r-{number}" for number in range(500)]

    together = kept.chosen(ids, 3)

    assert 0 < len(together) < len(ids)
    assert kept.chosen([*ids, odd], 3) == together
    assert together == [place for place, each in enumerate(ids) if kept.chosen([each], 3)]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 12), st.integers(1, 5)), max_size=12))
def test_a_reader_that_comes_again_gets_each_answer_once_or_is_told_that_it_missed_it(steps):
    ring = Ring(WHO, per_second=10**6, kept=10)
    cursor, seen, missed, made = "", [], 0, 0

    for more, limit in steps:
        offer(ring, [f"r-{made + i}" for i in range(more)])
        made += more
        page = ring.page(cursor, limit)
        seen += ids_of(page)
        missed += page.missed
        cursor = page.cursor
        assert page.more == (len(seen) + missed < made)
    while (page := ring.page(cursor, 3)).answers:
        seen += ids_of(page)
        cursor = page.cursor

    assert len(seen) == len(set(seen)) == made - missed
    assert seen == sorted(seen, key=lambda name: int(name[2:]))


def test_a_cursor_of_another_boot_is_the_beginning():
    ring = Ring(WHO)
    offer(ring, ["r-1"])

    page = ring.page("f00d.17", 10)

    assert (ids_of(page), page.cursor, page.missed) == (["r-1"], "b00t.1", 0)


@pytest.mark.parametrize(
    "cursor", ["17", "b00t.", "b00t.2", "b00t.-1", "b00t.1\n", "b00t." + "9" * 30]
)
def test_a_cursor_that_nobody_gave_is_refused(cursor):
    ring = Ring(WHO)
    offer(ring, ["r-1"])

    with pytest.raises(InvalidRequest, match="cursor"):
        ring.page(cursor, 10)


@pytest.mark.parametrize(
    ("array", "scores", "classes"),
    [
        pytest.param([[0.25, 0.75]], (0.75,), None, id="two-classes"),
        pytest.param([[0.5, 0.25, 0.25], [0, 0, 1]], (0.5, 1.0), (0, 2), id="three-classes"),
        pytest.param([4.0, np.nan, -np.inf], (4.0, None, None), None, id="not-finite"),
        pytest.param([[]], (None,), None, id="no-score"),
    ],
)
def test_scores_are_kept_as_the_sketch_counts_them(array, scores, classes):
    ring = Ring(WHO)

    ring.add("r-1", Role.CANARY, np.array(array, np.float64))

    (found,) = ring.page("", 1).answers
    assert (found.rows, found.scores, found.classes) == (len(array), scores, classes)
    assert (found.role, found.at) == (Role.CANARY, NOON)


def test_a_large_request_is_kept_in_part():
    ring = Ring(WHO)

    ring.add("r-1", Role.STABLE, np.zeros((1000, 2)))

    (found,) = ring.page("", 1).answers
    assert (found.rows, len(found.scores)) == (1000, kept.SCORES)


async def test_answers_are_read_from_where_the_last_page_ended(rain):
    for i, temp in enumerate([0.0, 1.0, 2.0]):
        headers = {"x-request-id": f"e-{i}", "x-modelyard-role": "shadow"}
        body = {"id": "mine", "inputs": rows([temp, temp])}
        await rain.http.post(INFER, json=body, headers=headers)
    await rain.http.post(INFER, json={"id": "own", "inputs": rows([0.0])})
    await rain.http.post(INFER, json={"inputs": rows([0.0])})

    first = await rain.http.get("/v1/answers", params={"limit": 3})
    page = codec.decode(Answers, first.json())
    rest = await rain.http.get(
        "/v1/answers",
        params={"since": page.cursor},
        headers={"accept": "application/vnd.msgpack"},
    )
    others = codec.decode(Answers, msgspec.msgpack.decode(rest.content))

    assert [(each.id, each.role) for each in page.answers] == [
        (f"e-{i}", Role.SHADOW) for i in range(3)
    ]
    assert all(each.rows == len(each.scores) == 2 for each in page.answers)
    assert page.answers[0].scores[0] < page.answers[2].scores[0]
    assert page.more
    assert [(each.id, each.role) for each in others.answers] == [("own", Role.DIRECT)]
    assert (others.more, others.missed) == (False, 0)
    assert (others.model, others.version, others.digest) == ("rain", "1", rain.inference.digest)
    assert rest.headers["content-type"] == "application/vnd.msgpack"


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=-1", "limit=x", "limit=1.5", f"limit={'9' * 40}", "since=x"]
)
async def test_a_query_that_means_nothing_is_refused(rain, query):
    answer = await rain.http.get(f"/v1/answers?{query}")

    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


def test_a_page_has_an_end():
    assert answers.read_query({"limit": "9" * 18}) == ("", answers.PAGE)

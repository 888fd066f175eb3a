"""A reader that remembers what was around the numbers takes nothing that the protocol refuses.

What it takes, it reads as the protocol does, to the bit: `meaning` says what that is.
"""

import copy
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard_serving import fast_json
from modelyard_serving.fast_json import Columns, LargeReader
from support.json_requests import FLOATS, break_somewhere, documents, meaning, same

A = '{"name":"a","datatype":"FP32","shape":[1,2],"data":%s}'
B = '{"name":"b","datatype":"FP64","shape":[1],"data":%s}'
INPUTS = f'"inputs":[{A},{B}]'
GOOD = {
    "plain": "{%s}",
    "id-first": '{"id":"7",%s}',
    "id-first-with-spaces": '{"id": "7", %s}',
    "id-first-without-a-character": '{"id":"",%s}',
    "id-first-of-other-characters": '{"id":"é",%s}',
    "id-first-with-escapes": r'{"id":"\"\u00e9",%s}',
    "id-first-by-another-key": r'{"\u0069d":"9",%s}',
    "id-first-is-null": '{"id":null,%s}',
    "id-last": '{%s,"id":"8"}',
    "id-last-by-another-key": r'{%s,"\u0069d":"8"}',
    "space-behind": "{%s} \n",
}
BAD = {
    "id-first-and-last": '{"id":"7",%s,"id":"8"}',
    "id-first-and-last-by-another-key": r'{"id":"7",%s,"\u0069d":"8"}',
    "id-twice": '{"id":"7","id":"8",%s}',
    "id-twice-by-another-key": r'{"id":"7","\u0069d":"8",%s}',
    "id-is-a-number": '{"id":7,%s}',
    "more-behind": "{%s}x",
    "less-behind": "{%s",
    "comma-behind": "{%s,}",
    "comma-before": "{,%s}",
    "byte-order-mark": "\ufeff{%s}",
    "other-member": '{"data":[1,2],%s}',
    "other-member-behind": '{%s,"data":[1,2]}',
    "key-that-ends-like-data": r'{"x\"data":[1,2],%s}',
    "text-like-a-list-as-id": r'{"id":"\"data\":[1,2]",%s}',
    "text-like-a-list-behind": r'{%s,"id":"\"data\":[1,2]"}',
    "list-as-id": '{"id":["data",[1,2]],%s}',
    "twice": "{%s,%s}",
    "array": "[%s]",
}
AROUND = {name: around.replace("%s", INPUTS) for name, around in {**GOOD, **BAD}.items()}
AROUND |= {
    "data-first": '{"inputs":[{"data":%s,"name":"a","datatype":"FP32","shape":[1,2]},' + B + "]}",
    "data-twice": '{"inputs":[' + A.replace("}", ',"data":[5,6]}') + f",{B}]}}",
    "data-twice-before": '{"inputs":[' + A.replace('"data"', '"data":[5,6],"data"') + f",{B}]}}",
    "parameters": '{"inputs":[' + A.replace("}", ',"parameters":{"data":[5]}}') + f",{B}]}}",
    "other-shape": '{"inputs":[' + A.replace("[1,2]", "[2,2]") + f",{B}]}}",
    "size-with-a-fraction": '{"inputs":[' + A.replace("[1,2]", "[1.0,2]") + f",{B}]}}",
    "other-name": '{"inputs":[' + A.replace('"a"', '"c"') + f",{B}]}}",
    "other-order": f'{{"inputs":[{B},{A}]}}',
    "one": f'{{"inputs":[{A}]}}',
    "three": f'{{"inputs":[{A},{B},{B}]}}',
    "outputs": f'{{{INPUTS},"outputs":[]}}',
}
LISTS = [
    "[1,2]", "[1]", "[]", "[1,2,3]", "[ 1 ,\n2 ]", "[1 2]", "[,]", "[1,]", "[1,2,]", "[,1,2]", "[1,,2]",
    "[[1,2]]", "[[1],[2]]", "[1,[2]]", "[[],1]", "[1,2]]", "[[1,2]", "[1,2", "1,2]", "[1,2]x", "[1,2] ",
    '["1","2"]', '[1,"]"]', '["[",1]', '[{"data":[1,2]}]', '[{"a":1},2]', "[{},2]", '[1,"data":[2]]',
    '[1,2],"data":[3,4]', '[1,2],"name":"b"', '["\\"data\\":[",2]', "[true,1]", "[null,1]", "[1,NaN]",
    "[Infinity,1]", "[1e999,1]", "[-1e39,1]", "[3.5e38,1]", "[1e-60,5e-324]", "[01,1]", "[+1,1]", "[1.,2]",
    "[.5,1]", "[0x1,1]", "[-0,-0.0]", "[1E5,1e+5]", "[16777217,9007199254740993]", "[1,2\x00]", "[1,\x7f2]",
    "[18446744073709551615,1]", "[18446744073709551616,1]", "[-9223372036854775809,1]", "[1,/**/2]",
    "{1,2}", '"12"', "12", "null", "",
]  # fmt: skip


def a_reader() -> LargeReader:
    return LargeReader.of(Columns.of(FLOATS))


def read(reader, body: bytes):
    """Return what a reader makes of a request; None if it takes it not."""
    found = reader.read(body)
    if found is None:
        return None
    request_id, rows, feeds = found
    assert {len(array) for array in feeds.values()} == {rows}
    return request_id, *map(same, feeds.values())


def filled(around: str, first: str, second: str) -> bytes:
    """Return a request with lists in their places; more of these get the first one."""
    pieces = around.split("%s")
    lists = [first] * (len(pieces) - 1)
    lists[1:2] = [second] * len(lists[1:2])
    return "".join(
        part for pair in zip(pieces, [*lists, ""], strict=True) for part in pair
    ).encode()


def learned() -> LargeReader:
    """Return a reader that has seen everything here, with good numbers."""
    reader = a_reader()
    for around in AROUND.values():
        reader.read(filled(around, "[1,2]", "[3]"))
    return reader


@pytest.mark.parametrize("around", GOOD)
def test_what_is_around_the_numbers_is_remembered(around):
    reader = a_reader()
    for first, second in (("[1,2]", "[3]"), ("[4,5]", "[6.25]"), ("[-0.0,1e9]", "[0]")):
        body = filled(AROUND[around], first, second)
        assert read(reader, body) == meaning(FLOATS, body) is not None

    assert len(reader._frames) == 1


def test_ids_that_differ_are_remembered_as_one():
    reader = a_reader()
    for number in range(50):
        body = filled(AROUND["id-first"].replace("7", f"call {number}"), "[1,2]", "[3]")
        assert read(reader, body) == meaning(FLOATS, body)
        assert read(reader, body)[0] == f"call {number}"

    assert len(reader._frames) == 1


@pytest.mark.parametrize("around", AROUND)
def test_whatever_is_in_the_lists_means_what_it_means_to_the_protocol(around):
    """Every one of the lists in each place, in a reader that has seen the rest with good ones."""
    reader = learned()
    for each in LISTS:
        for body in (filled(AROUND[around], each, "[3]"), filled(AROUND[around], "[1,2]", each)):
            assert read(reader, body) in (None, meaning(FLOATS, body)), body


def test_no_order_in_which_requests_come_makes_one_mean_another():
    reader = a_reader()
    bodies = [
        filled(around, first, second)
        for around in AROUND.values()
        for first, second in (
            ("[1,2]", "[3]"),
            ("[1]", "[3]"),
            ("[4,5]", "[true]"),
            ("[7,8]", "[9]"),
        )
    ]
    wanted = {body: meaning(FLOATS, body) for body in bodies}
    dice = random.Random(1)
    for _ in range(5):
        dice.shuffle(bodies)
        for body in bodies:
            assert read(reader, body) in (None, wanted[body]), body


@pytest.mark.parametrize("bad", ["[1,[2]", '[1,"2"]', "[1e39,1]", "[1]", '[{"a":1},2]', "[1,2,]"])
def test_a_request_that_is_left_to_the_protocol_leaves_the_reader_as_it_was(bad):
    reader = learned()
    good = filled(AROUND["plain"], "[4,5]", "[6]")
    for _ in range(3):  # a parser cannot be used again while something of its document is held
        assert read(reader, filled(AROUND["plain"], bad, "[3]")) is None
        assert read(reader, good) == meaning(FLOATS, good) is not None


def test_what_was_read_stays_as_it_was_while_others_are_read():
    reader = a_reader()
    bodies = [filled(AROUND["plain"], f"[{i},{i}.5]", f"[{i}]") for i in range(20)]
    found = [reader.read(body) for body in bodies]

    for body, (request_id, _, feeds) in zip(bodies, found, strict=True):
        assert (request_id, *map(same, feeds.values())) == meaning(FLOATS, body)


def test_no_more_is_remembered_than_fits():
    reader = a_reader()
    for spaces in range(fast_json.MAX_FRAMES * 2 + 5):
        body = filled(AROUND["plain"] + " " * (spaces % 400), "[1,2]", f"[{spaces}]")
        assert read(reader, body) == meaning(FLOATS, body) is not None
        assert len(reader._frames) <= fast_json.MAX_FRAMES
    reader = a_reader()
    long = filled(AROUND["plain"] + " " * fast_json.MAX_FRAME_BYTES, "[1,2]", "[3]")

    assert read(reader, long) == meaning(FLOATS, long) is not None
    assert not reader._frames


def test_sizes_are_remembered_with_what_is_around_the_numbers():
    reader = a_reader()
    for rows in (1, 3, 64, 65, 3, 1):
        tensors = (("a", "FP32", [rows, 2], 2 * rows), ("b", "FP64", [rows], rows))
        for data in (0, 0.5):
            body = compact(
                {
                    "inputs": [
                        {"name": name, "datatype": datatype, "shape": shape, "data": [data] * count}
                        for name, datatype, shape, count in tensors
                    ]
                }
            )
            assert read(reader, body) == meaning(FLOATS, body)
            assert (read(reader, body) is None) is (rows > FLOATS.max_rows)


def compact(document) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def with_good_numbers(document):
    """Return a document with the same around its lists, and in them nothing but zeros."""
    good = copy.deepcopy(document)
    for each in good["inputs"]:
        if isinstance(each["data"], list):
            each["data"] = [0] * len(each["data"])
    return good


@pytest.mark.slow
@settings(max_examples=400)
@given(documents(FLOATS), st.data())
def test_a_learned_frame_does_not_change_what_a_document_means(document, data):
    reader = learned()
    reader.read(compact(with_good_numbers(document)))
    changed = copy.deepcopy(document)
    break_somewhere(data.draw, changed)
    for body in map(compact, (document, changed, document)):
        assert read(reader, body) in (None, meaning(FLOATS, body))


THREE_ROWS = filled(
    AROUND["id-first"].replace("[1,2]", "[3,2]").replace("[1]", "[3]"),
    "[1.5,-2,3e2,0,4,0.25]",
    "[10,2E1,-0.5]",
)
CHARACTERS = st.sampled_from(list('[]{}",:\\0-9.eE tfn\x00\x7f'))


@pytest.mark.slow
@settings(max_examples=600)
@given(
    st.lists(st.tuples(st.integers(0, len(THREE_ROWS) - 1), CHARACTERS), min_size=1, max_size=3),
    st.lists(st.integers(0, len(THREE_ROWS) - 1), max_size=2),
)
def test_no_change_of_bytes_makes_a_learned_frame_take_what_the_protocol_refuses(changes, left_out):
    reader = a_reader()
    assert read(reader, THREE_ROWS) == meaning(FLOATS, THREE_ROWS) is not None
    body = bytearray(THREE_ROWS)
    for place, character in changes:
        body[place] = ord(character)
    for place in sorted(left_out, reverse=True):
        del body[min(place, len(body) - 1)]
    whole = bytes(body)

    assert read(reader, whole) in (None, meaning(FLOATS, whole))
    assert read(reader, THREE_ROWS) == meaning(FLOATS, THREE_ROWS)

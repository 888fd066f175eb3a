"""Which packing a client takes, and that what is packed comes back."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_serving import packing


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        pytest.param("", "", id="no-header"),
        pytest.param("gzip", "gzip", id="gzip"),
        pytest.param("X-GZIP", "gzip", id="its-old-name"),
        pytest.param("deflate", "deflate", id="deflate"),
        pytest.param("gzip, deflate, br, zstd", "gzip", id="a-browser"),
        pytest.param("deflate, gzip;q=0.9", "deflate", id="deflate-before-gzip"),
        pytest.param("deflate;q=0.2, gzip;q=0.9", "gzip", id="gzip-before-deflate"),
        pytest.param("br", "", id="only-what-is-not-here"),
        pytest.param("*", "gzip", id="anything"),
        pytest.param("*;q=0", "", id="nothing"),
        pytest.param("gzip;q=0, *", "deflate", id="anything-but-gzip"),
        pytest.param("gzip;q=0", "", id="a-zero"),
        pytest.param("identity", "", id="only-as-it-is"),
        pytest.param("identity;q=1, gzip;q=0.5", "", id="better-as-it-is"),
        pytest.param("identity;q=0.5, gzip", "gzip", id="better-packed"),
        pytest.param("identity, gzip", "gzip", id="as-well-packed"),
        pytest.param("gzip ; Q=0.5", "gzip", id="with-spaces"),
        pytest.param("gzip;q=2", "", id="a-liking-over-one"),
        pytest.param("gzip;q=nan", "", id="no-number"),
        pytest.param("gzip;q=x, deflate;level=1", "", id="parameters-that-are-not-understood"),
        pytest.param(",,;,", "", id="commas"),
    ],
)
def test_the_encoding_that_is_liked_best_is_chosen(accepted, chosen):
    assert packing.choose(accepted) == chosen


@given(st.text())
def test_no_header_whatever_breaks_the_choice(accepted):
    assert packing.choose(accepted) in ("", "gzip", "deflate")


@given(st.binary())
def test_what_is_packed_comes_back(data):
    assert gzip.decompress(packing.pack("gzip", data)) == data
    assert zlib.decompress(packing.pack("deflate", data)) == data
    for encoding in packing.PREFERRED:
        assert packing.unpack(encoding, packing.pack(encoding, data), len(data)) == data

"""The rain classifier over a thousand rows."""

import pytest

from support import bundles, scoring


@pytest.fixture(scope="session")
def rain_bundle(tmp_path_factory):
    return bundles.write(tmp_path_factory.mktemp("bundle") / "model")


@pytest.fixture(scope="session")
def rain_rows():
    return scoring.rain_table(1000)


@pytest.fixture
def rain(tmp_path, rain_bundle, rain_rows):
    """Ten row groups of a hundred rows, three of them a part."""
    path = scoring.write(tmp_path / "rows.parquet", rain_rows)
    return scoring.Scoring(tmp_path, rain_bundle, path, ["--part-rows", "300", "--workers", "2"])

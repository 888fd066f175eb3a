"""A rain bundle for every test that wants one."""

import pytest

from support import bundles, serving


@pytest.fixture(scope="session")
def rain_bundle(tmp_path_factory):
    return bundles.write(tmp_path_factory.mktemp("bundle") / "model")


@pytest.fixture
async def rain(rain_bundle):
    async with serving.serving(rain_bundle, max_rows=64, max_body_bytes=64 * 1024) as served:
        yield served

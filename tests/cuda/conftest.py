"""The hand-written kernels, built for the host once for all tests, by dtype."""

import pytest

from tests.cuda.launching import Rows, rows_of


@pytest.fixture(params=["float32", "float64", "float16", "bfloat16"])
def k(request: pytest.FixtureRequest) -> Rows:
    return rows_of(request.param)

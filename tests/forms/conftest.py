"""What the tests of forms share."""

import pytest

from app import names


@pytest.fixture(params=names.CONDITIONS)
def condition(request: pytest.FixtureRequest) -> str:
    return request.param

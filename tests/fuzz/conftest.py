"""How many cases each test tries: `--fuzz-examples=500`, as `make fuzz` says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

SHORT = 12
"""Cases of each test in `make test`: the same ones each time."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-examples", type=int, default=None, help="made-up cases for each fuzz test")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Schemathesis takes long to make its cases: only `make fuzz` waits for it."""
    is_short = config.getoption("--fuzz-examples", default=None) is None
    return True if is_short and collection_path.name == "test_openapi.py" else None


@pytest.fixture
def cases(request: pytest.FixtureRequest) -> settings:
    """The settings of one test."""
    # The option is only known where this folder was named on the command line.
    wanted = request.config.getoption("--fuzz-examples", default=None)
    return settings(
        max_examples=wanted or SHORT,
        derandomize=wanted is None,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if wanted else [])],
        suppress_health_check=list(HealthCheck),
    )

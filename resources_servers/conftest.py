"""Fixtures of all resources servers' tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("any speed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any speed")  # no test is to fail because the machine is busy

RECORDED = Path(__file__).resolve().parents[2] / "shared" / "fixtures" / "nemo_gym"


@pytest.fixture
def recorded() -> Callable[[str], list[dict[str, Any]]]:
    """Reads rows or rollouts recorded elsewhere, by `<environment>/<file>`; skips the test where there are none."""

    def read(name: str) -> list[dict[str, Any]]:
        path = RECORDED / name
        if not path.is_file():
            pytest.skip(f"no recorded data at {path}")
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    return read

"""A line of a results file: which rollout it is and its reward, read without parsing the whole."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import orjson

from nemo_gym.errors import DataError
from nemo_gym.schemas.rollout import ROLLOUT_INDEX, TASK_INDEX

_START = re.compile(
    rb'\{"%b":(\d+),"%b":(\d+),"reward":([-+.\deE]+)[,}]' % (TASK_INDEX.encode(), ROLLOUT_INDEX.encode())
)
"""How the store begins every line, so that reading a large file again need not parse it."""


@dataclass(frozen=True)
class ResultLine:
    """What the start of a result line tells."""

    task: int
    rollout: int
    reward: float

    @classmethod
    def read(cls, path: Path, number: int, line: bytes) -> ResultLine:
        """From line `number` of a results file. Raises `DataError` where it holds no result."""
        start = _START.match(line)
        try:
            if start is not None and line.endswith(b"}"):
                return cls(int(start[1]), int(start[2]), float(start[3]))
            result = orjson.loads(line)
            reward = float(result["reward"])
            if math.isfinite(reward):
                return cls(int(result[TASK_INDEX]), int(result[ROLLOUT_INDEX]), reward)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(str(path), number, "is no result of a rollout; remove the line") from error
        raise DataError(str(path), number, "its reward is no finite number; remove the line")

"""Task rows of the benchmarks' environment, as long as those of a small real one: about 1 KB each."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.fake_model import TOOL_NAME

_INSTRUCTIONS = (
    "You help people who plan their day outdoors. Look the weather up with the tool you have before you say anything "
    "about it, one city at a time, and do not guess. Then answer in two or three sentences: how warm it will be, "
    "whether it will rain, and what to wear."
)
_TOOL = {
    "type": "function",
    "name": TOOL_NAME,
    "description": "The weather of a city in the next hours: temperature, wind and rain.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Name of the city, without its country"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


def task_row(index: int) -> dict[str, Any]:
    """Row number `index`; no two are equal."""
    question = f"I shall be in Reykjavik for {index + 1} hours. Do I need a coat, and will there be time for the beach?"
    return {
        "responses_create_params": {
            "input": [
                {"role": "system", "content": _INSTRUCTIONS},
                {"role": "user", "content": question},
            ],
            "tools": [_TOOL],
            "parallel_tool_calls": False,
            "temperature": 1.0,
        },
        "expected": {"city": "Reykjavik", "advice": "a coat"},
    }

"""Writes questions about the weather that are to be answered by one tool call and nothing else.

python resources_servers/example_multi_reward/prepare.py --num-rows 100 --seed 0 --output train.jsonl
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from nemo_gym.prepare import run_prepare

EXAMPLE = Path(__file__).parent / "data" / "example.jsonl"

INSTRUCTION = (
    "To a question about the weather, make exactly one get_weather call and write nothing, neither before nor after. "
    "Give the unit only if the user names one."
)
CITIES = ("Amman", "Bristol", "Cairo", "Denver", "Essen", "Florence", "Gdansk", "Havana", "Jakarta", "Kigali", "Malmo")
QUESTIONS = ("How is the weather in {city}?", "Is the sun out in {city}?", "What should I wear in {city} today?")
QUESTIONS_WITH_UNIT = (
    "How warm is it in {city}, in {unit}?",
    "Temperature in {city} right now? Degrees {unit}, please.",
)
GET_WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The current weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city's name."},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "description": "Unit of the temperature."},
        },
        "required": ["city"],
        "additionalProperties": False,
    },
}


def make_row(rng: random.Random, index: int) -> dict[str, Any]:
    arguments = {"city": rng.choice(CITIES)}
    if rng.random() < 0.4:
        arguments["unit"] = rng.choice(("celsius", "fahrenheit"))
    question = rng.choice(QUESTIONS_WITH_UNIT if "unit" in arguments else QUESTIONS).format(**arguments)
    return {
        "id": f"tool-call-{index}",
        "responses_create_params": {
            "input": [{"role": "developer", "content": INSTRUCTION}, {"role": "user", "content": question}],
            "tools": [GET_WEATHER],
        },
        "expected_call": {"name": "get_weather", "arguments": arguments},
    }


if __name__ == "__main__":
    print(run_prepare(make_row, EXAMPLE))

"""Writes questions about the weather, each about one or two cities.

python resources_servers/example_single_tool_call/prepare.py --num-rows 100 --seed 0 --output train.jsonl
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from nemo_gym.prepare import run_prepare

EXAMPLE = Path(__file__).parent / "data" / "example.jsonl"

INSTRUCTION = "You answer questions about the weather. Look it up with get_weather, by the city's full English name."
CITIES = (
    "Accra",
    "Bergen",
    "Cusco",
    "Dakar",
    "Edinburgh",
    "Fukuoka",
    "Genoa",
    "Hanoi",
    "Izmir",
    "Kyoto",
    "Lagos",
    "Mumbai",
)
ONE_CITY = (
    "Do I need a coat in {0} today?",
    "What is it like outside in {0}?",
    "I am about to leave for {0}. How is the weather there?",
    "Is it a day for the beach in {0}?",
)
TWO_CITIES = ("Where is it warmer right now, {0} or {1}?", "Compare the weather in {0} and {1}, please.")
GET_WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "The current weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "The city's name."}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


def make_row(rng: random.Random, index: int) -> dict[str, Any]:
    cities = rng.sample(CITIES, k=1 if rng.random() < 0.7 else 2)
    question = rng.choice(ONE_CITY if len(cities) == 1 else TWO_CITIES).format(*cities)
    return {
        "id": f"weather-{index}",
        "responses_create_params": {
            "input": [{"role": "developer", "content": INSTRUCTION}, {"role": "user", "content": question}],
            "tools": [GET_WEATHER],
        },
        "expected_cities": cities,
    }


if __name__ == "__main__":
    print(run_prepare(make_row, EXAMPLE))

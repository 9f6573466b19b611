"""Writes questions about everyday things, each about one term whose synonyms stand in a long list.

python resources_servers/example_multi_step/prepare.py --num-rows 100 --seed 0 --output train.jsonl
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from nemo_gym.prepare import run_prepare
from resources_servers.example_multi_step.verifier import synonym_value

EXAMPLE = Path(__file__).parent / "data" / "example.jsonl"

INSTRUCTION = """\
Each line of the list below gives a term and a synonym of it. Find the one term that the user's question is about. \
For every synonym that the list gives for this term, get its value with get_synonym_value; leave the term itself out. \
Then call extract_synonym_values once with all these values, in the order in which the synonyms stand in the list.

{lines}"""

# term: (its synonyms, questions that are about it)
TERMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Angry": (("Furious", "Irate", "Cross"), ("Why do people shout when they lose their temper?",)),
    "Big": (("Huge", "Vast", "Bulky"), ("How did some dinosaurs grow to such an enormous size?",)),
    "Brave": (("Bold", "Fearless"), ("What makes firefighters run into burning houses?",)),
    "Cold": (("Icy", "Frosty", "Chilly"), ("How do penguins get through an Antarctic winter?",)),
    "Dark": (("Dim", "Gloomy"), ("How do cave fish find food where no light ever comes?",)),
    "Dirty": (("Grimy", "Soiled", "Muddy"), ("How do I get grease and mud off my bicycle?",)),
    "Dry": (("Arid", "Parched"), ("What do desert plants do when there is no rain for a year?",)),
    "Expensive": (("Costly", "Pricey", "Dear"), ("Why does a violin by a famous maker cost millions?",)),
    "Fast": (("Swift", "Rapid", "Speedy"), ("At what pace can a cheetah run, and for how long?",)),
    "Happy": (("Glad", "Cheerful", "Merry"), ("What makes people smile on an ordinary Tuesday?",)),
    "Hot": (("Blazing", "Warm", "Scorching"), ("How do cities keep their streets bearable in a heat wave?",)),
    "Loud": (("Noisy", "Deafening"), ("How can musicians protect their ears from their own amplifiers?",)),
    "Old": (("Ancient", "Aged", "Antique"), ("How do we know the age of a mummy?",)),
    "Quiet": (("Silent", "Hushed"), ("Where on Earth can one hear nothing at all?",)),
    "Sad": (("Unhappy", "Gloomy", "Tearful"), ("Why does a sorrowful song make us cry?",)),
    "Sick": (("Ill", "Unwell"), ("What helps against the flu?",)),
    "Sweet": (("Sugary", "Syrupy"), ("How do bees turn nectar into honey?",)),
    "Tired": (("Weary", "Sleepy", "Exhausted"), ("Why do I yawn all afternoon after a bad night?",)),
    "Wet": (("Damp", "Soaked", "Moist"), ("How do I dry my boots after walking through the rain?",)),
    "Young": (("Juvenile", "Youthful"), ("How do elephant calves learn to use their trunks?",)),
}
GET_SYNONYM_VALUE = {
    "type": "function",
    "name": "get_synonym_value",
    "description": "The value of one synonym, an integer.",
    "parameters": {
        "type": "object",
        "properties": {"synonym": {"type": "string", "description": "The synonym as the list spells it."}},
        "required": ["synonym"],
        "additionalProperties": False,
    },
    "strict": True,
}
EXTRACT_SYNONYM_VALUES = {
    "type": "function",
    "name": "extract_synonym_values",
    "description": "Hands in the values, all at once.",
    "parameters": {
        "type": "object",
        "properties": {"synonym_values": {"type": "array", "items": {"type": "integer"}}},
        "required": ["synonym_values"],
        "additionalProperties": False,
    },
    "strict": True,
}


def make_row(rng: random.Random, index: int) -> dict[str, Any]:
    term = rng.choice(list(TERMS))
    pairs = [(other, synonym) for other, (synonyms, _) in TERMS.items() for synonym in synonyms]
    rng.shuffle(pairs)
    lines = "\n".join(f"{other}: {synonym}" for other, synonym in pairs)
    expected = [synonym for other, synonym in pairs if other == term]
    return {
        "id": index,
        "responses_create_params": {
            "input": [
                {"role": "system", "content": INSTRUCTION.format(lines=lines)},
                {"role": "user", "content": rng.choice(TERMS[term][1])},
            ],
            "tools": [GET_SYNONYM_VALUE, EXTRACT_SYNONYM_VALUES],
            "parallel_tool_calls": False,
        },
        "expected_synonyms": expected,
        "expected_synonym_values": [synonym_value(synonym) for synonym in expected],
        "minefield_label": term,
        "minefield_label_value": synonym_value(term),
    }


if __name__ == "__main__":
    print(run_prepare(make_row, EXAMPLE))

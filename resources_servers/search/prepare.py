"""Writes questions about a made-up land and, if asked, the corpus that answers them; or converts public question sets.

python resources_servers/search/prepare.py --num-rows 100 --seed 0 --output train.jsonl
python resources_servers/search/prepare.py --num-passages 9000 --corpus corpus.jsonl --num-rows 999 --output train.jsonl
python resources_servers/search/prepare.py --input nq_search/train.jsonl --output nq.jsonl
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nemo_gym.prepare import TaskRow, run_prepare, write_rows
from resources_servers.search.knowledge import World, make_world
from resources_servers.search.public_questions import PublicQuestion, read_questions

FOLDER = Path(__file__).resolve().parent
EXAMPLE = FOLDER / "data" / "example.jsonl"
CORPUS = FOLDER / "data" / "corpus" / "made_up_land.jsonl"
"""Not in `data/` itself, whose files hold task rows."""
NUM_PASSAGES = 400
"""Of the corpus that lies in the folder."""

TURNS = """Answer the question below. You do not know the answer: search for it. In each of your turns think first, \
inside <think> and </think>. Then either search, by <search>a query</search>, and get passages between <information> \
and </information>; or give the answer, by <answer>a few words</answer>, without any explanation.

Question: """
TOOLS = """Answer the question below. You do not know the answer: look it up with the tool `search`, as often as \
needed. Then answer in a few words, without any explanation: <answer>your answer</answer>

Question: """
TOOL = {
    "type": "function",
    "name": "search",
    "description": "Finds the passages of an encyclopedia that fit a query best.",
    "parameters": {
        "type": "object",
        "properties": {"query": {"type": "string", "description": "What to look for, in a few words."}},
        "required": ["query"],
        "additionalProperties": False,
    },
    "strict": True,
}


def passages(world: World) -> Iterator[dict[str, Any]]:
    """The corpus: one passage per entity."""
    for number, entity in enumerate(world.entities()):
        yield {"id": str(number), "contents": f'"{entity.name}"\n{entity.passage()}'}


def make_row(world: World, form: str, rng: random.Random, index: int) -> TaskRow:
    question = world.question(rng)
    return {
        "id": f"search-{index}",
        "responses_create_params": params(question.text, form, index),
        "question": question.text,
        "expected_answer": question.answers,
        "queries": question.queries,
        "evidence": [entity.name for entity in question.path],
    }


def convert(form: str, path: Path) -> Iterator[TaskRow]:
    """The rows of a public set. Its own prompt is kept unless tool calls are asked for."""
    return (public_row(question, form, index) for index, question in enumerate(read_questions(path)))


def public_row(question: PublicQuestion, form: str, index: int) -> TaskRow:
    asked = params(question.text, form, index) if form == "tools" or question.prompt is None else None
    return {
        "id": f"public-{index}",
        **question.fields,
        "responses_create_params": asked or {"input": question.prompt},
        "question": question.text,
        "expected_answer": question.answers,
    }


def params(question: str, form: str, index: int) -> dict[str, Any]:
    """The request; with `both` every second row searches by tool calls."""
    if form == "tools" or (form == "both" and index % 2):
        return {"input": [{"role": "user", "content": TOOLS + question}], "tools": [TOOL]}
    return {"input": [{"role": "user", "content": TURNS + question}]}


def main(argv: Sequence[str]) -> str:
    own = argparse.ArgumentParser(add_help=False)
    own.add_argument("--form", choices=("turns", "tools", "both"), default="both", help="how to search (default: both)")
    own.add_argument(
        "--num-passages",
        type=int,
        default=NUM_PASSAGES,
        help="size of the corpus that is asked about, 20 or more (default %(default)s, the one in data/)",
    )
    own.add_argument("--corpus", type=Path, help="file to write that corpus to")
    options, rest = own.parse_known_args(argv)
    if options.num_passages < 20:
        own.error("--num-passages must be at least 20")
    world = make_world(options.num_passages, seed=0)
    said = run_prepare(
        partial(make_row, world, options.form), EXAMPLE, rest, convert=partial(convert, options.form), options=own
    )
    if options.corpus is not None:
        said += f", {write_rows(passages(world), options.corpus)} passages to {options.corpus}"
    return said


if __name__ == "__main__":
    print(main(sys.argv[1:]))

"""Writes math word problems to be solved in several turns: made from a seed, or those of the public GSM8K.

python resources_servers/gsm8k_multi_turn/prepare.py --num-rows 100 --seed 0 --output train.jsonl
python resources_servers/gsm8k_multi_turn/prepare.py --input gsm8k/train.jsonl --output gsm8k_train.jsonl
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nemo_gym.datasets.math_problems import MathProblem, read_problems
from nemo_gym.datasets.word_problems import make_problem
from nemo_gym.prepare import TaskRow, run_prepare

EXAMPLE = Path(__file__).parent / "data" / "example.jsonl"

INSTRUCTION = "Think step by step, and end with a line that holds your answer, a number, alone: #### NUMBER"


def make_row(rng: random.Random, index: int) -> TaskRow:
    return task_row(make_problem(rng), f"word-problem-{index}")


def convert(path: Path) -> Iterator[TaskRow]:
    """The rows of a file of the public GSM8K, or of SkyRL's rows, which keep their own prompt."""
    return (task_row(problem, f"gsm8k-{index}") for index, problem in enumerate(read_problems(path)))


def task_row(problem: MathProblem, row_id: str) -> TaskRow:
    asked: list[dict[str, Any]] = [{"role": "user", "content": f"{problem.question}\n\n{INSTRUCTION}"}]
    row = {
        "id": row_id,
        "responses_create_params": {"input": problem.prompt or asked},
        "expected_answer": problem.answer,
        "solution": problem.solution,
    }
    return {**row, **problem.fields}


if __name__ == "__main__":
    print(run_prepare(make_row, EXAMPLE, convert=convert))

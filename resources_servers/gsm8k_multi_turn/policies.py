"""Reference policies for gsm8k_multi_turn: `oracle`, `second_try`, `random`, `malformed`."""

from __future__ import annotations

from typing import Any

from nemo_gym.datasets.math_task import MathTask
from nemo_gym.parsers.numbers import parse_number
from nemo_gym.reference_policies import PolicyTurn, function_call, reasoning

NUM_GUESSES = 10
"""`random` picks one of so many numbers each turn, one of which is right."""

GARBAGE = (
    "",
    "  \n",
    "Let me think about it some more.",
    "#### ",
    "#### eighteen",
    "####\n" * 20_000,
    "#### " + "9" * 50_000,
    "#### 1e999999999",
    "#### 1/0",
    "#### 1 or 2 or 3 or 4",
    "\u0000 ٣٤ \u202e",
)


def oracle(turn: PolicyTurn) -> str:
    """The worked solution, where the row has one; else the number."""
    task = _task(turn)
    return task.solution or f"#### {task.answer}"


def second_try(turn: PolicyTurn) -> str:
    """One too much first, then the solution."""
    return oracle(turn) if turn.step else f"Roughly, I would say:\n#### {_near(turn, 1)}"


def guess(turn: PolicyTurn) -> str:
    """A number near the right one, or that: each of `NUM_GUESSES` is as likely, in each turn anew."""
    return f"It may be\n#### {_near(turn, turn.rng.randrange(NUM_GUESSES))}"


def malformed(turn: PolicyTurn) -> str | list[dict[str, Any]]:
    """Garbage text, tools that do not exist, reasoning only."""
    calls = [function_call("step", {"reward": 1.0})], [function_call("calculator", "{broken")]
    return turn.rng.choice((*GARBAGE, *calls, [reasoning("Hm.")]))


def _near(turn: PolicyTurn, distance: int) -> str:
    number = parse_number(_task(turn).answer)
    assert number is not None  # the task says so
    return str(number + distance)


def _task(turn: PolicyTurn) -> MathTask:
    return MathTask.model_validate(turn.row or {"expected_answer": "0"})


POLICIES = {"oracle": oracle, "second_try": second_try, "random": guess, "malformed": malformed}

"""One episode of gsm8k_multi_turn: several attempts at one word problem, each with a reward of its own."""

from __future__ import annotations

from typing import Any

from nemo_gym.environments import Environment, StepResult
from nemo_gym.schemas.responses import Response
from nemo_gym.scoring.hash_answer import HashGrade, grade_hash_answer, grade_hash_answer_literally

FORMAT_REWARD = 0.2
"""Shared out over the turns: what an episode of well-formed wrong answers comes to."""


class Gsm8kMultiTurnEnvironment(Environment):
    """Ends with the right answer, or after `max_turns` attempts."""

    def __init__(self, expected: str, max_turns: int) -> None:
        self.expected = expected
        self.max_turns = max_turns
        self.num_turns = 0
        self.answer: str | None = None
        self.solved = False

    async def step(self, response: Response) -> StepResult:
        """1.0 for the right number, `FORMAT_REWARD / max_turns` for another one, 0.0 without `#### number`."""
        self.num_turns += 1
        grade = self.grade(response.output_text)
        self.answer, self.solved = grade.answer, grade.correct
        turns_left = self.max_turns - self.num_turns
        over = self.solved or turns_left == 0
        return StepResult(
            observation=None if over else self.feedback(grade, turns_left),
            reward=1.0 if self.solved else FORMAT_REWARD / self.max_turns if grade.well_formed else 0.0,
            terminated=self.solved,
            truncated=over and not self.solved,
            info={"extracted_answer": grade.answer, "success": self.solved, "bad_format": not grade.well_formed},
        )

    def grade(self, text: str) -> HashGrade:
        return grade_hash_answer(text, self.expected)

    def feedback(self, grade: HashGrade, turns_left: int) -> str:
        """What is said after a wrong or unreadable answer. The right number is never told."""
        problem = (
            f"{grade.answer} is not the answer." if grade.well_formed else "There is no line with #### and a number."
        )
        if turns_left == 1:
            return f"{problem} This is your last turn: write the number only, as #### NUMBER"
        return (
            f"{problem} You have {turns_left} turns left. Go through your reasoning again, step by step, and end with "
            "a line that holds your answer as it stands now: #### NUMBER"
        )

    async def final_reward(self) -> float:
        """1.0 when solved, else the sum of the turns' rewards: a wrong answer before the right one earns nothing."""
        return 1.0 if self.solved else sum(self.turn_rewards)

    def report(self) -> dict[str, Any]:
        return {"success": self.solved, "extracted_answer": self.answer}


class StrictSkyrlEnvironment(Gsm8kMultiTurnEnvironment):
    """The same as skyrl-gym 0.4.0 plays it: its reading of answers, its feedback, the sum of all turns' rewards."""

    def grade(self, text: str) -> HashGrade:
        return grade_hash_answer_literally(text, self.expected)

    def feedback(self, grade: HashGrade, turns_left: int) -> str:
        if turns_left == 1:
            return "Now provide only the final numeric answer in the exact format: '#### ANSWER'."
        return (
            "Please provide your step-by-step reasoning, and also include a tentative numeric answer at the end in the "
            "exact format: '#### ANSWER'."
        )

    async def final_reward(self) -> float:
        return sum(self.turn_rewards)

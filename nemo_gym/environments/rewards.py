"""The three ways of rewarding turns, as mixins for `BaseEnvironment`: `class Mine(FinalReward, BaseEnvironment)`."""

from __future__ import annotations

from typing import Any

from nemo_gym.environments.step_reset import Step


class _Feedback:
    max_turns: int
    current_turn: int

    def get_feedback(self, response: str) -> str:
        """What the policy is told after an answer that did not end the episode."""
        return "That is not right. Try again."


class FinalReward(_Feedback):
    """1.0 when the answer is right, which ends the episode; else 0.0. Define `is_correct()`."""

    def is_correct(self, response: str, ground_truth: Any) -> bool:
        raise NotImplementedError(f"{type(self).__name__} must define is_correct()")

    def step(self, response: str, ground_truth: Any) -> Step:
        self.current_turn += 1
        if self.is_correct(response, ground_truth):
            return 1.0, None, True
        if self.current_turn >= self.max_turns:
            return 0.0, None, True
        return 0.0, self.get_feedback(response), False


class TurnLevelReward(FinalReward):
    """As `FinalReward`, and `FORMAT_SHARE / max_turns` for each wrong answer in the right form.

    Define `is_correct()` and `is_well_formatted()`.
    """

    FORMAT_SHARE = 0.2
    """What an episode of well-formed wrong answers earns in all."""

    def is_well_formatted(self, response: str) -> bool:
        raise NotImplementedError(f"{type(self).__name__} must define is_well_formatted()")

    def step(self, response: str, ground_truth: Any) -> Step:
        reward, observation, done = super().step(response, ground_truth)
        if reward == 0.0 and self.is_well_formatted(response):
            reward = self.FORMAT_SHARE / self.max_turns
        return reward, observation, done


class ProgressReward(_Feedback):
    """1.0 when all is reached, which ends the episode; `PROGRESS_SHARE` of the progress at each turn before; the
    progress itself when the turns are used up. Define `calculate_progress()`.
    """

    PROGRESS_SHARE = 0.1

    def calculate_progress(self, response: str, ground_truth: Any) -> float:
        """How much of the task the answer reaches, 0 to 1."""
        raise NotImplementedError(f"{type(self).__name__} must define calculate_progress()")

    def step(self, response: str, ground_truth: Any) -> Step:
        self.current_turn += 1
        progress = self.calculate_progress(response, ground_truth)
        if progress >= 1.0:
            return 1.0, None, True
        if self.current_turn >= self.max_turns:
            return progress, None, True
        return progress * self.PROGRESS_SHARE, self.get_feedback(response), False

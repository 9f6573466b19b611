"""One episode of search: a question, searches in a corpus, one answer. In turns with tags, or by tool calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nemo_gym.environments import Environment, StepResult
from nemo_gym.errors import RequestError
from nemo_gym.schemas.responses import Response
from resources_servers.search.passages import Retriever, numbered, skyrl_text
from resources_servers.search.verifier import (
    Metric,
    Move,
    read_final_message,
    read_move,
    score_answer,
    skyrl_query,
    skyrl_score,
)


@dataclass(frozen=True)
class Rules:
    """What holds for an episode. Made from configuration and row."""

    max_turns: int
    """Turns, or with tool calls one more than there are searches."""
    metric: Metric = "exact_match"
    format_reward: float = 0.0
    """For a wrong answer of an episode in which every turn was well-formed."""
    max_information_chars: int = 4000
    """Of all passages of one search together."""


class SearchEnvironment(Environment):
    """What both forms share. The reward comes with the answer, which ends the episode."""

    def __init__(self, accepted: Sequence[str], retriever: Retriever, rules: Rules) -> None:
        self.accepted, self.rules = accepted, rules
        self.num_searches = 0
        self.answer: str | None = None
        self.score = 0.0
        self._retriever = retriever
        self._num_turns = 0
        self._well_formed = True
        self._failure: RequestError | None = None

    async def search(self, query: str) -> str:
        """The passages that are found, as text. Raises a `RequestError` where the retriever gives no answer.

        An episode with a search that failed has no reward: who cannot look anything up is not to blame for not knowing.
        """
        self.num_searches += 1
        try:
            return self.as_text(await self._retriever.passages(query))
        except RequestError as error:
            self._failure = error
            raise

    def as_text(self, passages: Sequence[str]) -> str:
        """Passages as the policy is to read them."""
        return numbered(passages, self.rules.max_information_chars)

    async def final_reward(self) -> float:
        self.refuse_after_failure()
        return sum(self.turn_rewards)

    def refuse_after_failure(self) -> None:
        """Raise what a search of this episode failed with, if one did."""
        if self._failure is not None:
            raise self._failure

    def report(self) -> dict[str, Any]:
        return {
            "success": self.score == 1.0,
            "score": self.score,
            "extracted_answer": self.answer,
            "num_searches": self.num_searches,
        }

    def _answered(self, move: Move) -> StepResult:
        """The end of an episode with an answer."""
        assert move.answer is not None
        self.answer = move.answer
        self.score = score_answer(move.answer, self.accepted, self.rules.metric)
        well_formed = self._well_formed and move.well_formed
        reward = max(self.score, self.rules.format_reward if well_formed else 0.0)
        return StepResult(reward=reward, terminated=True, info=self._info(move))

    def _info(self, move: Move) -> dict[str, Any]:
        self._well_formed = self._well_formed and move.well_formed
        return {"success": self.score == 1.0, "bad_format": not move.well_formed}


class TurnSearchEnvironment(SearchEnvironment):
    """`<think>`, then `<search>` or `<answer>`, in each turn; passages come back in `<information>`."""

    async def step(self, response: Response) -> StepResult:
        """Search, or score the answer. The last turn can only answer: what it would find could not be used."""
        self.refuse_after_failure()
        self._num_turns += 1
        move = read_move(response.output_text)
        if move.answer is not None:
            return self._answered(move)
        info = self._info(move)
        turns_left = self.rules.max_turns - self._num_turns
        if turns_left == 0:
            return StepResult(truncated=True, info=info)
        if move.search is None:
            observation = f"Nothing was done: {move.problem}."
        else:
            observation = f"<information>\n{await self.search(move.search)}\n</information>"
            info["query"] = move.search[:200]
        return StepResult(observation=f"{observation}\n\n{_what_next(turns_left)}", info=info)


class ToolSearchEnvironment(SearchEnvironment):
    """Searches are tool calls, of which the server's route `/search` takes care; the message without one answers."""

    @property
    def searches_left(self) -> int:
        return self.rules.max_turns - 1 - self.num_searches

    async def step(self, response: Response) -> StepResult:
        """Score the final message. One with tool calls is not final: it is found here when a rollout is replayed."""
        self.refuse_after_failure()
        if response.function_calls:
            return StepResult()
        self._num_turns += 1
        move = read_final_message(response.output_text)
        if move.answer is not None:
            return self._answered(move)
        info = self._info(move)
        if self._num_turns >= self.rules.max_turns:
            return StepResult(truncated=True, info=info)
        return StepResult(observation="Your message is empty. Write <answer>your answer</answer>.", info=info)


class StrictSkyrlEnvironment(SearchEnvironment):
    """The turns as skyrl-gym 0.4.0 plays them: its reading, its text around the passages, its reward.

    One thing is not the same: where the retriever fails, the episode fails, instead of showing the policy an error.
    """

    def __init__(self, accepted: Sequence[str], retriever: Retriever, rules: Rules) -> None:
        super().__init__(accepted, retriever, rules)
        self._conversation: list[str] = []

    async def step(self, response: Response) -> StepResult:
        """`<answer>` and `</answer>` anywhere, in any order, end the episode; so does the last turn."""
        self.refuse_after_failure()
        self._num_turns += 1
        text = response.output_text
        self._conversation.append(text)
        answered = "<answer>" in text and "</answer>" in text
        if answered or self._num_turns >= self.rules.max_turns:
            self.score = skyrl_score("".join(self._conversation), self.accepted)
            return StepResult(
                reward=self.score, terminated=answered, truncated=not answered, info={"success": self.score == 1.0}
            )
        query = skyrl_query(text)
        found = "" if query is None else await self.search(query)
        observation = f"\n<information>{found}</information>\n"
        self._conversation.append(observation)
        return StepResult(observation=observation)

    def as_text(self, passages: Sequence[str]) -> str:
        return skyrl_text(passages)


def _what_next(turns_left: int) -> str:
    if turns_left == 1:
        return "This is your last turn: write <answer>your answer</answer>."
    return (
        f"You have {turns_left} turns left. Write <search>a query</search> to search, or <answer>your answer</answer>."
    )

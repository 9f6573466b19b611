"""One episode of text_to_sql: queries whose results are shown, then a solution."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nemo_gym.environments import Environment, StepResult
from nemo_gym.errors import EnvironmentCodeError
from nemo_gym.parsers.tags import last_tag
from nemo_gym.schemas.responses import Response
from resources_servers.text_to_sql.engine import QueryResult
from resources_servers.text_to_sql.verifier import is_ordered, same_results, shown

RunQuery = Callable[[str], Awaitable[QueryResult]]


class TextToSql(Environment):
    """Ends with a `<solution>`, or after `max_turns` turns."""

    def __init__(self, gold_sql: str, run: RunQuery, *, max_turns: int, query_reward: float) -> None:
        self.gold_sql, self.run = gold_sql, run
        self.max_turns, self.query_reward = max_turns, query_reward
        self.num_turns = self.num_queries = 0
        self.solution: str | None = None
        self.correct = False

    async def step(self, response: Response) -> StepResult:
        self.num_turns += 1
        text = response.output_text
        self.solution = last_tag(text, "solution")
        if self.solution is not None:
            self.correct = await self._is_correct(self.solution)
            info = {"success": self.correct, "bad_format": False}
            return StepResult(reward=float(self.correct), terminated=True, info=info)
        sql = last_tag(text, "sql")
        over = self.num_turns >= self.max_turns
        if sql is None:
            observation = "There is neither <sql>…</sql>, a query to try, nor <solution>…</solution>, your answer."
            return self._continued(observation, 0.0, over, {"success": False, "bad_format": True})
        self.num_queries += 1
        result = await self.run(sql)
        reward = self.query_reward / self.max_turns if result.ok else 0.0
        info = {"success": False, "bad_format": False, "query_ok": result.ok, "rows": len(result.rows)}
        return self._continued(shown(result), reward, over, info)

    def _continued(self, observation: str, reward: float, over: bool, info: dict[str, Any]) -> StepResult:
        if over:
            return StepResult(reward=reward, truncated=True, info=info)
        left = self.max_turns - self.num_turns
        turns = "This is your last turn: give your <solution>." if left == 1 else f"You have {left} turns left."
        return StepResult(f"<observation>\n{observation}\n</observation>\n{turns}", reward, info=info)

    async def _is_correct(self, sql: str) -> bool:
        gold = await self.run(self.gold_sql)
        if not gold.ok:
            raise EnvironmentCodeError(f"the row's own query fails: {gold.error or 'it takes too long'}")
        return same_results(await self.run(sql), gold, ordered=is_ordered(self.gold_sql))

    def report(self) -> dict[str, Any]:
        return {"success": self.correct, "solution": self.solution, "num_queries": self.num_queries}

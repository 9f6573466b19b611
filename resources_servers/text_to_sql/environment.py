"""One episode of text_to_sql: queries whose results are shown, then a solution."""

from __future__ import annotations

from typing import Any, Protocol

from nemo_gym.environments import Environment, StepResult
from nemo_gym.errors import EnvironmentCodeError
from nemo_gym.parsers.tags import tagged_blocks
from nemo_gym.schemas.responses import Response
from resources_servers.text_to_sql.queries import Answer, Verdict


class Database(Protocol):
    """The row's database, asked in child processes."""

    async def answer(self, sql: str) -> Answer: ...
    async def judge(self, sql: str, gold_sql: str) -> Verdict: ...


class TextToSql(Environment):
    """Ends with a `<solution>`, or after `max_turns` turns."""

    def __init__(self, gold_sql: str, database: Database, *, max_turns: int, query_reward: float) -> None:
        self.gold_sql, self.database = gold_sql, database
        self.max_turns, self.query_reward = max_turns, query_reward
        self.num_turns = self.num_queries = 0
        self.solution: str | None = None
        self.correct = False

    async def step(self, response: Response) -> StepResult:
        self.num_turns += 1
        said = response.output_text.rpartition("</think>")[2]
        blocks = tagged_blocks(said, "sql", "solution")
        over = self.num_turns >= self.max_turns
        if not blocks:
            told = "There is neither <sql>…</sql>, a query to try, nor <solution>…</solution>, your answer."
            return self._continued(told, 0.0, over, {"success": False, "bad_format": True})
        block = blocks[-1]
        if block.tag == "solution":
            self.solution = block.content
            self.correct = await self.is_correct(self.solution)
            info = {"success": self.correct, "bad_format": False}
            return StepResult(reward=float(self.correct), terminated=True, info=info)
        self.num_queries += 1
        answer = await self.database.answer(block.content)
        reward = self.query_reward / self.max_turns if answer.ok else 0.0
        info = {"success": False, "bad_format": False, "query_ok": answer.ok, "rows": answer.num_rows}
        return self._continued(answer.text, reward, over, info)

    def _continued(self, told: str, reward: float, over: bool, info: dict[str, Any]) -> StepResult:
        if over:
            return StepResult(reward=reward, truncated=True, info=info)
        left = self.max_turns - self.num_turns
        turns = "This is your last turn: give your <solution>." if left == 1 else f"You have {left} turns left."
        return StepResult(f"<observation>\n{told}\n</observation>\n{turns}", reward, info=info)

    async def is_correct(self, sql: str) -> bool:
        """Raises `EnvironmentCodeError` where the row's own query cannot tell."""
        verdict = await self.database.judge(sql, self.gold_sql)
        if verdict.gold_problem is not None:
            raise EnvironmentCodeError(f"the row's own query fails: {verdict.gold_problem}")
        return verdict.correct

    def report(self) -> dict[str, Any]:
        return {"success": self.correct, "solution": self.solution, "num_queries": self.num_queries}

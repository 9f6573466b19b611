"""text_to_sql: a question to a database; queries are answered turn by turn, the right rows earn 1.0."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self

from fastapi.exceptions import RequestValidationError
from pydantic import Field, PrivateAttr, model_validator

from nemo_gym.base_resources_server import BaseRunRequest, ReverifyMode
from nemo_gym.environments import EnvironmentConfig, EnvironmentServer
from nemo_gym.errors import SandboxError
from resources_servers.text_to_sql.engine import EngineName, QueryLimits, QueryResult
from resources_servers.text_to_sql.environment import TextToSql
from resources_servers.text_to_sql.library import DatabaseLibrary
from resources_servers.text_to_sql.queries import Answer, Verdict, answer, judge, strict_text
from resources_servers.text_to_sql.strict_skyrl import StrictTextToSql
from resources_servers.text_to_sql.task import SqlTask
from resources_servers.text_to_sql.verifier import shown

MAX_TURNS = 6
GRACE_S = 2.0
"""A query that does not heed its deadline is killed, with its process, after so long."""


class TextToSqlConfig(EnvironmentConfig):
    engine: EngineName = EngineName.SQLITE
    """`sqlite` or `duckdb` (extra `nemo-gym[sql]`); public databases are SQLite files."""
    db_root: Path | None = None
    """Folder of the unpacked OmniSQL archive, for rows that name a public database."""
    query_timeout_s: float = Field(default=5.0, gt=0)
    query_reward: float = Field(default=0.0, ge=0)
    """Shared out over the turns: what an episode of queries that run, without a solution, comes to."""
    strict_skyrl: bool = False
    """Whether episodes go as in skyrl-gym 0.4.0: its form, its feedback, sets of rows, -1.0 for a wrong form."""

    @model_validator(mode="after")
    def _packages_are_there(self) -> Self:
        if self.engine is EngineName.DUCKDB and find_spec("duckdb") is None:
            raise ValueError('`engine: duckdb` needs the package duckdb: `pip install "nemo-gym[sql]"`')
        if self.strict_skyrl and find_spec("pandas") is None:
            raise ValueError("`strict_skyrl: true` needs the package pandas, which writes the tables of its feedback")
        return self


class TextToSqlRow(SqlTask, BaseRunRequest):
    pass


class TextToSqlServer(EnvironmentServer):
    config: TextToSqlConfig

    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.STATELESS

    _library: DatabaseLibrary = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        super().model_post_init(context)
        self._library = DatabaseLibrary(self.config.engine, self.config.db_root)

    async def make_environment(self, row: TextToSqlRow) -> TextToSql:
        engine = self.config.engine
        if row.database is not None:
            path = await self._library.made(row.database.name, row.database.seed)
        else:
            engine = EngineName.SQLITE
            try:
                path = self._library.public(row.data or "", row.db_id or "")
            except ValueError as error:
                place = {"type": "value_error", "loc": ("body", "db_id"), "msg": str(error), "input": row.db_id}
                raise RequestValidationError([place]) from error
        kind = StrictTextToSql if self.config.strict_skyrl else TextToSql
        return kind(
            row.expected_sql,
            RowDatabase(self, engine, str(path)),
            max_turns=self.max_turns(row, MAX_TURNS),
            query_reward=self.config.query_reward,
        )

    async def shutdown(self) -> None:
        await super().shutdown()
        self._library.close()


class RowDatabase:
    """The database of one row; each call runs in a child process, which is killed where it does not end."""

    def __init__(self, server: TextToSqlServer, engine: EngineName, path: str) -> None:
        self._server, self._engine, self._path = server, engine, path
        self._limits = QueryLimits(timeout_s=server.config.query_timeout_s)
        self._strict = server.config.strict_skyrl

    async def answer(self, sql: str) -> Answer:
        timeout_s = self._limits.timeout_s + GRACE_S
        try:
            return await self._server.run_cpu(
                answer, self._engine, self._path, sql, self._limits, self._strict, timeout_s=timeout_s
            )
        except SandboxError:
            stopped = QueryResult(timed_out=True)
            return Answer(strict_text(stopped, sql) if self._strict else shown(stopped), ok=False)

    async def judge(self, sql: str, gold_sql: str) -> Verdict:
        timeout_s = 2 * self._limits.timeout_s + GRACE_S
        try:
            return await self._server.run_cpu(
                judge, self._engine, self._path, sql, gold_sql, self._limits, self._strict, timeout_s=timeout_s
            )
        except SandboxError:
            # Either query may have been the one. The row's own, alone, tells which.
            return await self._server.run_cpu(
                judge, self._engine, self._path, "SELECT 1", gold_sql, self._limits, self._strict, timeout_s=timeout_s
            )


if __name__ == "__main__":
    TextToSqlServer.run_webserver()

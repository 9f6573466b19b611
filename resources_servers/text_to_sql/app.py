"""text_to_sql: a question to a database; queries are answered turn by turn, the right rows earn 1.0."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self

from fastapi.exceptions import RequestValidationError
from pydantic import Field, PrivateAttr, model_validator

from nemo_gym.base_resources_server import BaseRunRequest, ReverifyMode
from nemo_gym.environments import EnvironmentConfig, EnvironmentServer
from nemo_gym.errors import SandboxError
from resources_servers.text_to_sql.engine import EngineName, QueryLimits, QueryResult, run_query
from resources_servers.text_to_sql.environment import TextToSql
from resources_servers.text_to_sql.library import DatabaseLibrary
from resources_servers.text_to_sql.strict_skyrl import StrictTextToSql
from resources_servers.text_to_sql.task import SqlTask

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
            partial(self._query, engine, str(path)),
            max_turns=self.max_turns(row, MAX_TURNS),
            query_reward=self.config.query_reward,
        )

    async def _query(self, engine: EngineName, path: str, sql: str) -> QueryResult:
        limits = QueryLimits(timeout_s=self.config.query_timeout_s)
        try:
            return await self.run_cpu(run_query, engine, path, sql, limits, timeout_s=limits.timeout_s + GRACE_S)
        except SandboxError:
            return QueryResult(timed_out=True)

    async def shutdown(self) -> None:
        await super().shutdown()
        self._library.close()


if __name__ == "__main__":
    TextToSqlServer.run_webserver()

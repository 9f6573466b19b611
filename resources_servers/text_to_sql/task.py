"""A task row of text_to_sql: the database, and the query that answers the question."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator


class MadeDatabase(BaseModel):
    """A database that is made from a seed."""

    model_config = ConfigDict(extra="forbid")

    name: Literal["shop", "library", "flights", "clinic"]
    seed: int


class RewardSpec(BaseModel):
    """Where SkyRL's rows hold the query."""

    model_config = ConfigDict(extra="allow")

    ground_truth: str | None = None


class SqlTask(BaseModel):
    """Either `database` and `gold_sql`, or, as in SkyRL's rows, `data`, `db_id` and `reward_spec.ground_truth`."""

    model_config = ConfigDict(extra="allow")

    database: MadeDatabase | None = None
    gold_sql: str | None = None
    data: str | None = None
    db_id: Annotated[str, StringConstraints(pattern=r"^[\w][\w \-]*$", max_length=200)] | None = None
    reward_spec: RewardSpec = RewardSpec()
    max_turns: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.database is None and (self.data is None or self.db_id is None):
            raise ValueError("a row needs `database`, or `data` and `db_id`")
        if not self.expected_sql:
            raise ValueError("a row needs `gold_sql`, or `reward_spec.ground_truth`")
        return self

    @property
    def expected_sql(self) -> str:
        return self.gold_sql or self.reward_spec.ground_truth or ""

"""search: a question that only a corpus can answer; 1.0 for the right answer, found by searches in turns or by tool."""

from __future__ import annotations

from typing import ClassVar, Self

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from nemo_gym.base_resources_server import BaseRunRequest, ReverifyMode
from nemo_gym.config_types import ResourcesServerRef
from nemo_gym.environments import EnvironmentConfig, EnvironmentServer
from resources_servers.search.environment import (
    Rules,
    SearchEnvironment,
    StrictSkyrlEnvironment,
    ToolSearchEnvironment,
    TurnSearchEnvironment,
)
from resources_servers.search.passages import QueryField, RetrieverClient
from resources_servers.search.task import SearchTask
from resources_servers.search.verifier import Metric

DEFAULT_MAX_TURNS = 4
NO_SEARCHES_LEFT = "No searches are left: give your answer now."


class SearchConfig(EnvironmentConfig):
    retriever: ResourcesServerRef | None = None
    """The retriever's instance in this run."""
    retriever_url: str | None = None
    """A retriever that runs elsewhere, in its place: `http://127.0.0.1:8000/retrieve`."""
    retriever_takes: QueryField = "query"
    """The field of a request in which the retriever wants the query: SkyRL's server and ours `query`, Search-R1's
    `queries`, a list."""
    retriever_timeout_s: float = Field(default=30.0, gt=0)
    """For one search, attempts and waits together. What has no answer then is a failure of the rollout."""
    retriever_max_attempts: int = Field(default=3, ge=1)
    topk: int = Field(default=3, ge=1)
    """Passages per search."""
    max_information_chars: int = Field(default=4000, ge=100)
    """Of the passages of one search together; each is cut to its share."""
    metric: Metric = "exact_match"
    """How an answer is scored: `exact_match`, `f1` of the words, or `contains` (an accepted answer stands in it)."""
    format_reward: float = Field(default=0.0, ge=0, le=1)
    """For a wrong answer of an episode whose every turn was well-formed."""
    strict_skyrl: bool = False
    """Whether rows without the tool are played as in skyrl-gym 0.4.0: its reading, its text, its reward."""

    @model_validator(mode="after")
    def _has_one_retriever(self) -> Self:
        if (self.retriever is None) == (self.retriever_url is None):
            raise ValueError("give either `retriever`, an instance of this run, or `retriever_url`")
        return self


class ExtraInfo(BaseModel):
    """Where SkyRL's rows may hold the number of turns."""

    model_config = ConfigDict(extra="allow")

    max_turns: int | None = Field(default=None, ge=1)


class SearchRow(SearchTask, BaseRunRequest):
    max_turns: int | None = Field(default=None, ge=1)
    extra_info: ExtraInfo = ExtraInfo()

    @property
    def has_tool(self) -> bool:
        """Whether the policy searches by calls of the tool `search`; else with `<search>` in its turns."""
        tools = self.responses_create_params.model_dump(include={"tools"}).get("tools") or ()
        return any(tool.get("name") == "search" for tool in tools)


class SearchToolRequest(BaseModel):
    query: str = Field(min_length=1)


class SearchServer(EnvironmentServer):
    config: SearchConfig

    reverify_mode: ClassVar[ReverifyMode] = ReverifyMode.STATELESS

    _retriever: RetrieverClient | None = PrivateAttr(default=None)

    async def make_environment(self, row: SearchRow) -> SearchEnvironment:  # type: ignore[override]
        config = self.config
        rules = Rules(
            max_turns=self.max_turns(row, DEFAULT_MAX_TURNS),
            metric=config.metric,
            format_reward=config.format_reward,
            max_information_chars=config.max_information_chars,
        )
        kind: type[SearchEnvironment] = StrictSkyrlEnvironment if config.strict_skyrl else TurnSearchEnvironment
        if row.has_tool:
            kind = ToolSearchEnvironment
        return kind(row.accepted_answers, self._client(), rules)

    def max_turns(self, row: SearchRow, default: int) -> int:  # type: ignore[override]
        """The row's `max_turns`, else its `extra_info.max_turns`, else the configuration's, else `default`."""
        return row.max_turns or row.extra_info.max_turns or super().max_turns(row, default)

    async def search(self, request: Request, body: SearchToolRequest) -> PlainTextResponse:
        """`POST /search`: the tool, in rows that declare it. HTTP 502 or 504 where the retriever gives no answer."""
        environment = self.environment_of(request)
        if isinstance(environment, ToolSearchEnvironment) and environment.searches_left <= 0:
            return PlainTextResponse(NO_SEARCHES_LEFT)
        assert isinstance(environment, SearchEnvironment)
        return PlainTextResponse(await environment.search(body.query))

    def _client(self) -> RetrieverClient:
        if self._retriever is None:
            config = self.config
            place = config.retriever.name if config.retriever is not None else str(config.retriever_url)
            self._retriever = RetrieverClient(
                self.server_client,
                place,
                is_url=config.retriever is None,
                takes=config.retriever_takes,
                topk=config.topk,
                timeout_s=config.retriever_timeout_s,
                max_attempts=config.retriever_max_attempts,
            )
        return self._retriever

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/search")(self.search)
        return app


if __name__ == "__main__":
    SearchServer.run_webserver()

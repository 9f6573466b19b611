"""Single-turn or multi-turn? Found for each row, from what its resources server offers and the row declares."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from nemo_gym.agent_loop.tool_calls import declared_tools
from nemo_gym.rollouts.rows import TaskRow
from nemo_gym.schemas.rollout import Mode
from nemo_gym.training.rollouts import RunningGym
from nemo_gym.training.trl.prompts import Prompt, task_row_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kind:
    """How a row is to be generated, and why."""

    mode: Mode
    reason: str

    @property
    def is_played(self) -> bool:
        """Whether its agent plays it; else the trainer generates one completion by itself."""
        return self.mode is not Mode.SINGLE_TURN


class Detector:
    """Says each new reason once, in the log."""

    def __init__(self, gym: RunningGym, *, agent: str | None, multi_turn: bool | None) -> None:
        """`multi_turn` decides for all rows; None: each is looked at."""
        self._gym, self._agent, self._multi_turn = gym, agent, multi_turn
        self._said: set[tuple[str, Kind]] = set()

    def kinds_of(self, prompts: Sequence[Prompt]) -> list[Kind]:
        """Of each prompt."""
        return [self._kind_of(prompt) for prompt in prompts]

    def offers_turns(self, env: str | None = None) -> bool:
        """Whether an environment is one of several turns: its server talks back, or its example rows declare tools."""
        agent = self._gym.agent_for(env or self._agent)
        kind = self._of_agent(self._gym, agent)
        if kind is not None:
            return kind.is_played
        rows = self._gym.rows_of(agent)
        return any(declared_tools(row["responses_create_params"]) for row in rows)

    def _kind_of(self, prompt: Prompt) -> Kind:
        row = task_row_of(prompt)
        if row is None:
            return self._said_once("-", Kind(Mode.SINGLE_TURN, "the prompt carries no task row"))
        agent = self._gym.agent_for(row if row.get("agent_ref") else self._agent)
        return self._said_once(agent, self._of_row(self._gym, agent, row))

    def _of_row(self, gym: RunningGym, agent: str, row: TaskRow) -> Kind:
        if self._multi_turn is not None:
            mode = Mode.MULTI_TURN if self._multi_turn else Mode.SINGLE_TURN
            return Kind(mode, f"the trainer's `multi_turn` is {str(self._multi_turn).lower()}")
        kind = self._of_agent(gym, agent)
        if kind is not None:
            return kind
        tools = len(declared_tools(row["responses_create_params"]))
        mode = Mode.MULTI_STEP if tools else Mode.SINGLE_TURN
        return Kind(mode, f"the row declares {tools} tools" if tools else "the row declares no tools")

    def _of_agent(self, gym: RunningGym, agent: str) -> Kind | None:
        """What is so for all rows of an agent; None where it depends on the row."""
        server = gym.resources_server_of(agent)
        if server is None:
            return Kind(Mode.MULTI_TURN, f"agent `{agent}` names no resources server: only it knows how to play")
        if gym.settings_of(agent).get("use_environment", True) and gym.talks_back(server):
            return Kind(Mode.MULTI_TURN, "the resources server offers /reset and /step")
        return None

    def _said_once(self, agent: str, kind: Kind) -> Kind:
        if (agent, kind) not in self._said:
            self._said.add((agent, kind))
            logger.info("rows of agent %s are %s: %s", agent, kind.mode, kind.reason)
        return kind

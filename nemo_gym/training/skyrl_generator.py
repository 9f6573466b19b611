"""SkyRL's generator over running servers: prompts in, rollouts played by our agents, `GeneratorOutput` out."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypedDict

from nemo_gym.config_types import BaseServerConfig
from nemo_gym.errors import DataError
from nemo_gym.rollout_collection import RolloutCollectionHelper
from nemo_gym.rollouts.rows import TaskRow
from nemo_gym.rollouts.running import DEFAULT_ROLLOUT_TIMEOUT_S
from nemo_gym.schemas.rollout import FAILURE_CLASS
from nemo_gym.training.skyrl import (
    Episode,
    GeneratorOutput,
    SkyRLOptions,
    TrajectoryId,
    episode_of,
    generator_output,
)
from nemo_gym.training.task_rows import task_row_of, with_sampling

logger = logging.getLogger(__name__)


class GivenTrajectoryId(Protocol):
    """SkyRL's `TrajectoryID`."""

    instance_id: str
    repetition_id: int


class BatchMetadata(Protocol):
    """SkyRL's."""

    global_step: int
    training_phase: str


class GeneratorInput(TypedDict):
    """What SkyRL's trainer gives: N prompts, repeated for each sample, those of a task beside each other."""

    prompts: Sequence[object]
    env_classes: Sequence[str]
    env_extras: Sequence[Mapping[str, Any]] | None
    """The dataset's other columns, `task_row` among them."""
    sampling_params: Mapping[str, Any] | None
    trajectory_ids: Sequence[GivenTrajectoryId] | None
    batch_metadata: BatchMetadata | None


class GymGenerator:
    """What `BasePPOExp.get_generator` answers in place of SkyRL's own. Holds no connection; calls may overlap."""

    def __init__(
        self,
        options: SkyRLOptions,
        *,
        head_server_config: BaseServerConfig | None = None,
        agent_name: str | None = None,
        num_parallel: int | None = None,
        timeout_s: float = DEFAULT_ROLLOUT_TIMEOUT_S,
    ) -> None:
        """`agent_name` is for rows that name none; the others are as in `RolloutCollectionHelper.run_examples`."""
        self.options = options
        self._head = head_server_config
        self._agent_name = agent_name
        self._num_parallel = num_parallel
        self._timeout_s = timeout_s

    async def generate(self, input_batch: GeneratorInput, disable_tqdm: bool = False) -> GeneratorOutput:
        """Play every row once; rows of the output are in the order of the input.

        A rollout that failed is a row without loss, and is told of in the log and in `rollout_metrics`. Evaluation is
        always by the whole episode's reward, whatever the credit. Raises `DataError` for a batch without task rows,
        `RequestError` where no head server answers, `MissingTokensError` where the model server reports no tokens.
        """
        metadata = input_batch.get("batch_metadata")
        evaluating = metadata is not None and metadata.training_phase == "eval"
        options = replace(self.options, credit="final", discount=None) if evaluating else self.options
        return generator_output(await self._episodes(_requests(input_batch, self._agent_name)), options)

    async def _episodes(self, requests: Sequence[tuple[TrajectoryId, TaskRow]]) -> list[Episode]:
        place_of = {id(row): place for place, (_, row) in enumerate(requests)}
        episodes: dict[int, Episode] = {}
        failures: Counter[str] = Counter()
        for awaitable in RolloutCollectionHelper().run_examples(
            [row for _, row in requests],
            head_server_config=self._head,
            on_failure="return",
            num_parallel=self._num_parallel,
            timeout_s=self._timeout_s,
        ):
            row, result = await awaitable
            place = place_of[id(row)]
            episodes[place] = episode_of(result, requests[place][0])
            if FAILURE_CLASS in result:
                failures[str(result[FAILURE_CLASS])] += 1
        if failures:
            told = ", ".join(f"{kind} {count}" for kind, count in failures.most_common())
            logger.warning(
                "%d of %d rollouts failed and are not learned from: %s", failures.total(), len(requests), told
            )
        return [episodes[place] for place in range(len(requests))]


def _requests(batch: GeneratorInput, agent_name: str | None) -> list[tuple[TrajectoryId, TaskRow]]:
    """Id and row of each rollout that is asked for."""
    ids, extras = batch.get("trajectory_ids"), batch.get("env_extras")
    if ids is None or extras is None or not len(ids) == len(extras) == len(batch["prompts"]):
        message = "needs one of `trajectory_ids` and of `env_extras` for each of `prompts`"
        raise DataError("SkyRL's generator input", None, message)
    sampling = batch.get("sampling_params") or {}
    return [
        (
            TrajectoryId(str(given.instance_id), given.repetition_id),
            with_sampling(task_row_of(fields, index, agent_name=agent_name), sampling),
        )
        for index, (given, fields) in enumerate(zip(ids, extras, strict=True))
    ]

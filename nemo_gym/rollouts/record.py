"""The record of a collection: what was asked for, kept beside its results so that resuming cannot mix two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from nemo_gym.errors import DataError
from nemo_gym.rollouts.files import write_whole
from nemo_gym.rollouts.plan import Plan, PlanOptions


class CollectionRecord(BaseModel):
    """`X_run.json`. Two collections with equal records run the same rollouts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    agent_name: str | None
    limit: int | None
    num_repeats: int
    responses_create_params: dict[str, Any]
    num_tasks: int
    input_sha256: str
    """Of the input lines that are used: the content counts, not the file's name."""
    prompt: dict[str, str | None] | None = None
    """The texts of the prompt that made the rows' input, where one did."""
    reverified: str | None = None
    """The results file whose rollouts were scored again; None where rollouts were run."""

    @classmethod
    def of(cls, plan: Plan, options: PlanOptions) -> Self:
        return cls(
            agent_name=options.agent_name,
            limit=options.limit,
            num_repeats=options.num_repeats,
            responses_create_params=options.responses_create_params,
            prompt=options.prompt.model_dump() if options.prompt else None,
            num_tasks=plan.num_tasks,
            input_sha256=plan.input_sha256,
        )

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The record in a file, None if there is no such file. Raises `DataError` if it is not readable as one."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise DataError(str(path), None, f"is no record of a collection; use +overwrite=true ({error})") from error

    def write(self, path: Path) -> None:
        write_whole(path, self.model_dump_json(indent=2).encode() + b"\n")

    def differences(self, now: CollectionRecord) -> list[str]:
        """What is asked for now and was not then, one line each."""
        then_values, now_values = self.model_dump(), now.model_dump()
        if self.limit != now.limit:  # which says why the rows differ, too
            del then_values["input_sha256"], then_values["num_tasks"]
        elif self.input_sha256 != now.input_sha256:
            del then_values["num_tasks"]
        return [
            "the rows of the input file have changed"
            if key == "input_sha256"
            else f"`{key}` was {_shown(then)}, is {_shown(now_values[key])}"
            for key, then in then_values.items()
            if then != now_values[key]
        ]


def _shown(value: object) -> str:
    return "not given" if value is None else str(value)

"""Whole prompts: a result whose model calls each hold their `prompt_token_ids`, as trainers read them.

Agents answer the short form, by which a rollout of any length costs as much as it says (`schemas.prompt_ids`).
"""

from __future__ import annotations

from nemo_gym.rollouts.attempt import Result
from nemo_gym.schemas.prompt_ids import with_whole_prompts


def with_whole_prompt_ids(result: Result) -> Result:
    """The result with every prompt as a whole; the same object where none is in the short form.

    Raises `TrajectoryError` where a prompt keeps more ids than the calls before it have.
    """
    response = result.get("response")
    if not isinstance(response, dict):
        return result
    output = response.get("output") or []
    if not any(item.get("prompt_token_ids_kept") is not None for item in output):
        return result
    return result | {"response": response | {"output": with_whole_prompts(output)}}

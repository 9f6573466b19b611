"""The model calls of a finished rollout, one by one, so that its episode can be played again without a model."""

from __future__ import annotations

from typing import Any

from nemo_gym.reference_policies.items import Item, split_model_calls
from nemo_gym.schemas.responses import Response
from nemo_gym.schemas.rollout import Mode


def model_calls(rollout: dict[str, Any], *, with_tool_calls: bool = False) -> list[Response]:
    """The answers of the model calls in a verify request or a stored result, in order.

    A stored result tells by its `turns` which items belong to which call, and, if it was played in turns, which calls
    the environment was shown: those whose turn has a reward; `with_tool_calls` adds those whose tools the agent called
    by their routes. Without `turns` a call ends where something comes that no model writes.
    """
    response = rollout["response"]
    items: list[Item] = response["output"]
    turns = rollout.get("turns") or ()
    sizes = [turn["output_items"] for turn in turns if isinstance(turn.get("output_items"), int)]
    if sizes and min(sizes) >= 0 and len(sizes) == len(turns) and sum(sizes) == len(items):
        was_played_in_turns = rollout.get("mode") == Mode.MULTI_TURN
        calls = []
        for turn, size in zip(turns, sizes, strict=True):
            shown = turn.get("reward") is not None or (with_tool_calls and turn.get("tool_calls"))
            if shown or not was_played_in_turns:
                calls += split_model_calls(items[:size])[:1] or [[]]
            items = items[size:]
    else:
        calls = split_model_calls(items)
    return [Response.model_validate({**response, "output": call, "usage": None}) for call in calls]

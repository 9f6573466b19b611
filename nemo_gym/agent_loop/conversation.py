"""The other conversation format: all turns of an episode as one assistant message, which the model goes on writing."""

from __future__ import annotations

from typing import Any

from nemo_gym.reference_policies.items import text_of

CONTINUE_LAST_MESSAGE = {"continue_final_message": True, "add_generation_prompt": False}
"""Request fields, named as engines name them, that have the model continue the last message instead of answering it."""
NO_TOOLS_IN_ONE_MESSAGE = (
    "with `use_conversation_multi_turn: false` all turns are one assistant message, which cannot hold tool calls: "
    "leave `tools` out of the row, or set it to true"
)


def one_message(output: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The items of an episode so far as one assistant message: what both sides said, one after the other.

    What the environment said before the policy's first word stays a message of its own.
    """
    first = next((index for index, item in enumerate(output) if item.get("role") == "assistant"), len(output))
    said = "".join(text_of(item["content"]) for item in output[first:] if item.get("role") is not None)
    return [*output[:first], {"role": "assistant", "content": said}]

"""Translation between the Responses API and Chat Completions: requests, answers and streams, both ways.

What the other side cannot say and what would change the answer raises `ConversionError`; hints (`include`,
`truncation`, `store`) are left out.
"""

from nemo_gym.converters.answers import to_chat_completion, to_response
from nemo_gym.converters.dialect import OPENAI_DIALECT, ChatDialect
from nemo_gym.converters.messages import Item, reasoning_text, to_chat_messages, to_items
from nemo_gym.converters.requests import to_chat_request, to_responses_request, unfold_metadata
from nemo_gym.converters.stream_to_chat import ChatStream
from nemo_gym.converters.stream_to_responses import ResponsesStream
from nemo_gym.converters.think_tags import split_think_tags

__all__ = [
    "OPENAI_DIALECT",
    "ChatDialect",
    "ChatStream",
    "Item",
    "ResponsesStream",
    "reasoning_text",
    "split_think_tags",
    "to_chat_completion",
    "to_chat_messages",
    "to_chat_request",
    "to_items",
    "to_response",
    "to_responses_request",
    "unfold_metadata",
]

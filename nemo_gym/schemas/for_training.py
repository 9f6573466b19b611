"""Items that certainly carry the tokens of the model call they end: what a trainer learns from."""

from __future__ import annotations

from pydantic import BaseModel

from nemo_gym.schemas.chat_completions import ChatCompletionMessage
from nemo_gym.schemas.responses import EasyInputMessage, FunctionCall, OutputMessage, ReasoningItem
from nemo_gym.schemas.tokens import TokenFields


class TokenTriplet(TokenFields):
    """The token fields, all of them there."""

    prompt_token_ids: list[int]
    generation_token_ids: list[int]
    generation_log_probs: list[float]


class OutputMessageForTraining(TokenTriplet, OutputMessage):
    pass


class FunctionCallForTraining(TokenTriplet, FunctionCall):
    pass


class ReasoningItemForTraining(TokenTriplet, ReasoningItem):
    pass


class EasyInputMessageForTraining(TokenTriplet, EasyInputMessage):
    pass


class ChatCompletionMessageForTraining(TokenTriplet, ChatCompletionMessage):
    pass


FOR_TRAINING: dict[type[BaseModel], type[BaseModel]] = {
    EasyInputMessage: EasyInputMessageForTraining,
    OutputMessage: OutputMessageForTraining,
    FunctionCall: FunctionCallForTraining,
    ReasoningItem: ReasoningItemForTraining,
}
"""The class of an item that carries tokens, by that of the same item without."""

"""Door: the types of OpenAI's APIs under the names that servers written for NeMo Gym import, and the client."""

from nemo_gym.openai_client import NeMoGymAsyncOpenAI
from nemo_gym.schemas.chat_completions import ChatCompletion as NeMoGymChatCompletion
from nemo_gym.schemas.chat_completions import (
    ChatCompletionCreateParams as NeMoGymChatCompletionCreateParamsNonStreaming,
)
from nemo_gym.schemas.chat_completions import ChatCompletionMessage as NeMoGymChatCompletionMessage
from nemo_gym.schemas.chat_completions import ChatFunction as NeMoGymChatCompletionMessageToolCallFunctionParam
from nemo_gym.schemas.chat_completions import ChatFunction as NeMoGymFunction
from nemo_gym.schemas.chat_completions import ChatFunctionDefinition as NeMoGymFunctionDefinition
from nemo_gym.schemas.chat_completions import ChatMessage as NeMoGymChatCompletionMessageParam
from nemo_gym.schemas.chat_completions import ChatTool as NeMoGymChatCompletionToolParam
from nemo_gym.schemas.chat_completions import ChatToolCall as NeMoGymChatCompletionMessageToolCall
from nemo_gym.schemas.chat_completions import ChatToolCall as NeMoGymChatCompletionMessageToolCallParam
from nemo_gym.schemas.chat_completions import Choice as NeMoGymChoice
from nemo_gym.schemas.chat_completions import CompletionUsage as NeMoGymCompletionUsage
from nemo_gym.schemas.for_training import FOR_TRAINING as RESPONSES_TO_TRAIN
from nemo_gym.schemas.for_training import ChatCompletionMessageForTraining as NeMoGymChatCompletionMessageForTraining
from nemo_gym.schemas.for_training import EasyInputMessageForTraining as NeMoGymEasyInputMessageForTraining
from nemo_gym.schemas.for_training import FunctionCallForTraining as NeMoGymResponseFunctionToolCallForTraining
from nemo_gym.schemas.for_training import OutputMessageForTraining as NeMoGymResponseOutputMessageForTraining
from nemo_gym.schemas.for_training import ReasoningItemForTraining as NeMoGymResponseReasoningItemForTraining
from nemo_gym.schemas.for_training import TokenTriplet as TokenIDLogProbMixin
from nemo_gym.schemas.responses import EasyInputMessage as NeMoGymEasyInputMessage
from nemo_gym.schemas.responses import EasyInputMessage as NeMoGymMessage
from nemo_gym.schemas.responses import FunctionCall as NeMoGymResponseFunctionToolCall
from nemo_gym.schemas.responses import FunctionCallOutput as NeMoGymFunctionCallOutput
from nemo_gym.schemas.responses import FunctionTool as NeMoGymFunctionToolParam
from nemo_gym.schemas.responses import Input as NeMoGymResponseInput
from nemo_gym.schemas.responses import InputItem as NeMoGymResponseInputItem
from nemo_gym.schemas.responses import OutputItem as NeMoGymResponseOutputItem
from nemo_gym.schemas.responses import OutputMessage as NeMoGymResponseOutputMessage
from nemo_gym.schemas.responses import OutputRefusal as NeMoGymResponseOutputRefusal
from nemo_gym.schemas.responses import OutputText as NeMoGymResponseOutputText
from nemo_gym.schemas.responses import ReasoningItem as NeMoGymResponseReasoningItem
from nemo_gym.schemas.responses import Response as NeMoGymResponse
from nemo_gym.schemas.responses import ResponseCreateParams as NeMoGymResponseCreateParamsNonStreaming
from nemo_gym.schemas.responses import ResponseUsage as NeMoGymResponseUsage
from nemo_gym.schemas.responses import SummaryText as NeMoGymSummary

NeMoGymChatCompletionSystemMessageParam = NeMoGymChatCompletionMessageParam
NeMoGymChatCompletionDeveloperMessageParam = NeMoGymChatCompletionMessageParam
NeMoGymChatCompletionUserMessageParam = NeMoGymChatCompletionMessageParam
NeMoGymChatCompletionAssistantMessageParam = NeMoGymChatCompletionMessageParam
NeMoGymChatCompletionToolMessageParam = NeMoGymChatCompletionMessageParam
NeMoGymChatCompletionAssistantMessageForTrainingParam = NeMoGymChatCompletionMessageForTraining

__all__ = [
    "RESPONSES_TO_TRAIN",
    "NeMoGymAsyncOpenAI",
    "NeMoGymChatCompletion",
    "NeMoGymChatCompletionAssistantMessageForTrainingParam",
    "NeMoGymChatCompletionAssistantMessageParam",
    "NeMoGymChatCompletionCreateParamsNonStreaming",
    "NeMoGymChatCompletionDeveloperMessageParam",
    "NeMoGymChatCompletionMessage",
    "NeMoGymChatCompletionMessageForTraining",
    "NeMoGymChatCompletionMessageParam",
    "NeMoGymChatCompletionMessageToolCall",
    "NeMoGymChatCompletionMessageToolCallFunctionParam",
    "NeMoGymChatCompletionMessageToolCallParam",
    "NeMoGymChatCompletionSystemMessageParam",
    "NeMoGymChatCompletionToolMessageParam",
    "NeMoGymChatCompletionToolParam",
    "NeMoGymChatCompletionUserMessageParam",
    "NeMoGymChoice",
    "NeMoGymCompletionUsage",
    "NeMoGymEasyInputMessage",
    "NeMoGymEasyInputMessageForTraining",
    "NeMoGymFunction",
    "NeMoGymFunctionCallOutput",
    "NeMoGymFunctionDefinition",
    "NeMoGymFunctionToolParam",
    "NeMoGymMessage",
    "NeMoGymResponse",
    "NeMoGymResponseCreateParamsNonStreaming",
    "NeMoGymResponseFunctionToolCall",
    "NeMoGymResponseFunctionToolCallForTraining",
    "NeMoGymResponseInput",
    "NeMoGymResponseInputItem",
    "NeMoGymResponseOutputItem",
    "NeMoGymResponseOutputMessage",
    "NeMoGymResponseOutputMessageForTraining",
    "NeMoGymResponseOutputRefusal",
    "NeMoGymResponseOutputText",
    "NeMoGymResponseReasoningItem",
    "NeMoGymResponseReasoningItemForTraining",
    "NeMoGymResponseUsage",
    "NeMoGymSummary",
    "TokenIDLogProbMixin",
]

"""The Chat Completions API: messages, requests and answers, as OpenAI defines them, with token fields on messages.

OpenAI's own classes are not used here because importing them takes longer than starting a server may;
`tests/test_converters.py` holds these against them. Fields that engines add are kept, never dropped.
Source: https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from nemo_gym.schemas.responses import RequestPart, WhenSet, WireModel
from nemo_gym.schemas.tokens import TokenFields, is_empty

# --------------------------------------------------------------------------------------------------------- messages


class ChatFunction(RequestPart):
    """The tool a model asks for, and its arguments as the model wrote them: JSON text, not yet checked."""

    name: str
    arguments: str


class ChatToolCall(RequestPart):
    """One tool call of an assistant message."""

    id: str
    type: Literal["function"] = "function"
    function: ChatFunction


class ChatMessage(TokenFields, RequestPart):
    """One message of a conversation, of any role.

    The token fields stand on assistant messages only; clients send them back unchanged.
    """

    role: Literal["developer", "system", "user", "assistant", "tool"]
    content: str | list[dict[str, Any]] | None = None
    """Text, or parts (`text`, `image_url`, ...); None on an assistant message that holds only tool calls."""
    name: WhenSet[str] = None
    tool_calls: list[ChatToolCall] | None = None
    tool_call_id: WhenSet[str] = None
    """On a tool message: the call that it answers."""
    reasoning_content: WhenSet[str] = None
    """What the model thought before it answered, as vLLM, SGLang and others give it."""
    reasoning: WhenSet[str] = None
    """The same under the name that newer engines and routers use."""
    refusal: str | None = None

    @model_validator(mode="after")
    def _fits_its_role(self) -> Self:
        if self.role == "tool" and self.tool_call_id is None:
            raise ValueError("a message of role `tool` needs `tool_call_id`: the id of the call that it answers")
        if self.role != "assistant" and self.content is None:
            raise ValueError(f"a message of role `{self.role}` needs `content`")
        if self.role != "assistant" and self.tool_calls:
            raise ValueError(f"`tool_calls` stand on messages of role `assistant`, not `{self.role}`")
        return self


class ChatCompletionMessage(ChatMessage):
    """The message that a model answered with."""

    role: Literal["assistant"] = "assistant"


# ---------------------------------------------------------------------------------------------------------- request


class ChatFunctionDefinition(RequestPart):
    """Name, purpose and argument schema of a tool."""

    name: str
    description: WhenSet[str] = None
    parameters: WhenSet[dict[str, Any]] = None
    """JSON schema of the arguments."""
    strict: WhenSet[bool] = None


class ChatTool(RequestPart):
    """A tool that the model may call; other kinds than functions keep their own `type` and fields."""

    type: str = "function"
    function: ChatFunctionDefinition | None = None


class ChatCompletionCreateParams(WireModel):
    """A request to `POST /v1/chat/completions`.

    Sampling parameters that OpenAI lacks (`top_k`, `min_p`, `chat_template_kwargs`, ...) may stand beside the rest.
    """

    messages: list[ChatMessage]
    model: WhenSet[str] = None
    tools: list[ChatTool] = Field(default_factory=list, exclude_if=is_empty)
    tool_choice: WhenSet[str | dict[str, Any]] = None
    parallel_tool_calls: WhenSet[bool] = None
    max_completion_tokens: WhenSet[int] = Field(default=None, ge=1)
    max_tokens: WhenSet[int] = Field(default=None, ge=1)
    """Older name of `max_completion_tokens`, the only one that some engines know."""
    temperature: WhenSet[float] = Field(default=None, ge=0)
    top_p: WhenSet[float] = Field(default=None, ge=0, le=1)
    logprobs: WhenSet[bool] = None
    top_logprobs: WhenSet[int] = Field(default=None, ge=0)
    n: WhenSet[int] = Field(default=None, ge=1)
    stop: WhenSet[str | list[str]] = None
    seed: WhenSet[int] = None
    presence_penalty: WhenSet[float] = None
    frequency_penalty: WhenSet[float] = None
    reasoning_effort: WhenSet[str] = None
    response_format: WhenSet[dict[str, Any]] = None
    metadata: WhenSet[dict[str, Any]] = None
    store: WhenSet[bool] = None
    stream: WhenSet[bool] = None
    stream_options: WhenSet[dict[str, Any]] = None
    user: WhenSet[str] = None


# ----------------------------------------------------------------------------------------------------------- answer


class PromptTokensDetails(WireModel):
    cached_tokens: int | None = None


class CompletionTokensDetails(WireModel):
    reasoning_tokens: int | None = None


class CompletionUsage(WireModel):
    """Token counts of one model call."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    prompt_tokens_details: PromptTokensDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None


class Choice(WireModel):
    """One of the answers that were asked for (`n`)."""

    index: int = 0
    message: ChatCompletionMessage
    finish_reason: str | None = "stop"
    """`stop`, `length`, `tool_calls`, `content_filter`, or an engine's own word."""
    logprobs: dict[str, Any] | None = None


class ChatCompletion(WireModel):
    """The answer of `POST /v1/chat/completions`."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: CompletionUsage | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None

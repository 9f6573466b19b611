"""The Responses API: items, requests and answers, as OpenAI defines them, with token fields on output items.

OpenAI's own classes are not used here because importing them takes longer than starting a server may;
`tests/test_schemas.py` holds these against them. Fields that OpenAI adds later are kept, never dropped.
Source: https://platform.openai.com/docs/api-reference/responses
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from nemo_gym.schemas.tokens import TokenFields, is_absent, is_empty

T = TypeVar("T")

WhenSet = Annotated[T | None, Field(exclude_if=is_absent)]
"""A parameter of a request: one that nobody set is not sent on as `null`, which some engines refuse."""

Role = Literal["user", "assistant", "system", "developer"]


class WireModel(BaseModel):
    """A body whose shape others define: fields that this version does not know are kept as they came."""

    model_config = ConfigDict(extra="allow", defer_build=True)


class RequestPart(WireModel):
    """A part of a request: can be read like the dict that it was sent as, since OpenAI's own types are dicts there."""

    def keys(self) -> list[str]:
        """The fields that were sent, in the order of the schema."""
        return [name for name in (*self.__dict__, *(self.__pydantic_extra__ or ())) if name in self.model_fields_set]

    def __contains__(self, key: str) -> bool:
        return key in self.model_fields_set

    def __getitem__(self, key: str) -> Any:
        fields = self.__dict__
        return fields[key] if key in fields else (self.__pydantic_extra__ or {})[key]

    def get(self, key: str, default: Any = None) -> Any:
        """The field, `default` where it was not sent."""
        return self[key] if key in self.model_fields_set else default


# ---------------------------------------------------------------------------------------------------- content parts


class OutputText(WireModel):
    """Text that the model wrote."""

    type: Literal["output_text"] = "output_text"
    text: str
    annotations: list[Any] = Field(default_factory=list)
    logprobs: list[Any] | None = None


class OutputRefusal(WireModel):
    """The model's refusal to answer."""

    type: Literal["refusal"] = "refusal"
    refusal: str


class SummaryText(WireModel):
    """One paragraph of a reasoning summary."""

    type: Literal["summary_text"] = "summary_text"
    text: str


OutputContent = Annotated[OutputText | OutputRefusal, Field(discriminator="type")]

# ------------------------------------------------------------------------------------------------------------ items


class EasyInputMessage(WireModel):
    """A message of any role; `content` is text or a list of parts (`input_text`, `input_image`, ...)."""

    type: Literal["message"] = "message"
    role: Role
    content: str | list[dict[str, Any]]


class OutputMessage(TokenFields):
    """A message that a model wrote."""

    type: Literal["message"] = "message"
    id: str | None = None
    role: Literal["assistant"] = "assistant"
    content: list[OutputContent]
    status: Literal["in_progress", "completed", "incomplete"] | None = "completed"

    @property
    def text(self) -> str:
        """All text parts, joined; refusals are left out."""
        return "".join(part.text for part in self.content if isinstance(part, OutputText))


class FunctionCall(TokenFields):
    """The model asks for a tool: `arguments` is JSON text as the model wrote it, not yet checked."""

    type: Literal["function_call"] = "function_call"
    call_id: str
    name: str
    arguments: str
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


class FunctionCallOutput(WireModel):
    """What a tool answered."""

    type: Literal["function_call_output"] = "function_call_output"
    call_id: str
    output: str | list[dict[str, Any]]
    id: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


class ReasoningItem(TokenFields):
    """What the model thought before it answered, an item of its own, in the order it was produced."""

    type: Literal["reasoning"] = "reasoning"
    id: str | None = None
    summary: list[SummaryText] = Field(default_factory=list)
    content: list[dict[str, Any]] | None = None
    encrypted_content: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


class HostedToolItem(TokenFields):
    """An item of a tool that the model's host runs itself (web search and the like): carried, never looked into."""

    type: Literal[
        "apply_patch_call",
        "apply_patch_call_output",
        "code_interpreter_call",
        "compaction",
        "computer_call",
        "computer_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "file_search_call",
        "image_generation_call",
        "item_reference",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "shell_call",
        "shell_call_output",
        "web_search_call",
    ]


_HOSTED_TYPES = frozenset(HostedToolItem.model_fields["type"].annotation.__args__)  # type: ignore[union-attr]


def _item_tag(item: Any) -> str | None:
    """The tag of one item: its `type`; an item with a role and no type is a message."""
    if isinstance(item, EasyInputMessage):
        return "message"
    fields: dict[str, Any] = item if isinstance(item, dict) else vars(item) if isinstance(item, BaseModel) else {}
    kind = fields.get("type")
    if kind is None and fields.get("role") is not None:
        kind = "message"
    if kind == "message":
        written_by_model = fields.get("role") == "assistant" and isinstance(fields.get("content"), list)
        return "output_message" if written_by_model else "message"
    if not isinstance(kind, str):
        return None
    return "hosted_tool" if kind in _HOSTED_TYPES else kind


InputItem = Annotated[
    Annotated[EasyInputMessage, Tag("message")]
    | Annotated[OutputMessage, Tag("output_message")]
    | Annotated[FunctionCall, Tag("function_call")]
    | Annotated[FunctionCallOutput, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")]
    | Annotated[HostedToolItem, Tag("hosted_tool")],
    Discriminator(_item_tag),
]
"""Anything that may stand in a request's `input`."""

OutputItem = Annotated[
    Annotated[OutputMessage, Tag("output_message")]
    | Annotated[FunctionCall, Tag("function_call")]
    | Annotated[FunctionCallOutput, Tag("function_call_output")]
    | Annotated[ReasoningItem, Tag("reasoning")]
    | Annotated[EasyInputMessage, Tag("message")]
    | Annotated[HostedToolItem, Tag("hosted_tool")],
    Discriminator(_item_tag),
]
"""Anything that may stand in a response's `output`. Agents put tool outputs and user messages there too, in order."""

# -------------------------------------------------------------------------------------------------- request, answer

Input = Annotated[
    Annotated[str, Tag("text")] | Annotated[list[InputItem], Tag("items")],
    Discriminator(lambda value: "text" if isinstance(value, str) else "items"),
]
"""A request's `input`: one user message as plain text, or a list of items."""

ITEM_TAGS = frozenset(
    {"text", "items", "message", "output_message", "function_call", "function_call_output", "reasoning", "hosted_tool"}
)
"""Tags of the unions above, which pydantic puts into the place of an error although no field has that name."""


class FunctionTool(RequestPart):
    """A tool that the model may call; hosted tools keep their own `type`."""

    type: str = "function"
    name: WhenSet[str] = None
    description: WhenSet[str] = None
    parameters: WhenSet[dict[str, Any]] = None
    """JSON schema of the arguments."""
    strict: WhenSet[bool] = None


class ResponseCreateParams(WireModel):
    """A request to `POST /v1/responses`, and `responses_create_params` of a task row.

    Sampling parameters that OpenAI lacks (`seed`, `top_k`, `min_p`, ...) may stand beside the rest.
    """

    input: Input
    model: WhenSet[str] = None
    instructions: WhenSet[str] = None
    tools: list[FunctionTool] = Field(default_factory=list, exclude_if=is_empty)
    tool_choice: WhenSet[str | dict[str, Any]] = None
    parallel_tool_calls: WhenSet[bool] = None
    max_tool_calls: WhenSet[int] = Field(default=None, ge=0)
    max_output_tokens: WhenSet[int] = Field(default=None, ge=1)
    temperature: WhenSet[float] = Field(default=None, ge=0)
    top_p: WhenSet[float] = Field(default=None, ge=0, le=1)
    top_logprobs: WhenSet[int] = Field(default=None, ge=0)
    reasoning: WhenSet[dict[str, Any]] = None
    text: WhenSet[dict[str, Any]] = None
    metadata: WhenSet[dict[str, Any]] = None
    previous_response_id: WhenSet[str] = None
    truncation: WhenSet[str] = None
    include: WhenSet[list[str]] = None
    store: WhenSet[bool] = None
    stream: WhenSet[bool] = None
    user: WhenSet[str] = None


class InputTokensDetails(WireModel):
    cached_tokens: int = 0


class OutputTokensDetails(WireModel):
    reasoning_tokens: int = 0


class ResponseUsage(WireModel):
    """Token counts of one model call, or of all calls of a rollout added up."""

    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    input_tokens_details: InputTokensDetails = Field(default_factory=InputTokensDetails)
    output_tokens_details: OutputTokensDetails = Field(default_factory=OutputTokensDetails)


class IncompleteDetails(WireModel):
    """Why a response stopped early: `max_output_tokens`, `content_filter`, or our `max_steps`."""

    reason: str | None = None


class ResponseError(WireModel):
    """Why a model could not answer."""

    code: str | None = None
    message: str


class Response(WireModel):
    """The answer of `POST /v1/responses`; after a rollout, the answer with everything that happened in `output`."""

    id: str
    object: Literal["response"] = "response"
    created_at: float
    model: str
    output: list[OutputItem]
    status: str | None = "completed"
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | list[Any] | None = None
    metadata: dict[str, Any] | None = None
    parallel_tool_calls: bool = True
    tool_choice: str | dict[str, Any] = "auto"
    tools: list[FunctionTool] = Field(default_factory=list)
    temperature: float | None = None
    top_p: float | None = None
    max_output_tokens: int | None = None
    previous_response_id: str | None = None
    usage: ResponseUsage | None = None

    @property
    def output_text(self) -> str:
        """All text that the model wrote, joined; reasoning, refusals and tool calls are left out."""
        return "".join(item.text for item in self.output if isinstance(item, OutputMessage))

    @property
    def function_calls(self) -> list[FunctionCall]:
        """The tool calls that the model asked for, in order."""
        return [item for item in self.output if isinstance(item, FunctionCall)]

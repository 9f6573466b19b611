"""Translation between the Responses API and Chat Completions: requests and answers, both ways.

A Responses request is a flat list of items; a chat request is a list of messages, where one assistant message holds
what one model call produced: reasoning, text and tool calls. So going to chat groups items, coming back takes messages
apart. What the other side cannot say and what would change the answer raises `ConversionError`; hints (`include`,
`truncation`, `store`) are left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from nemo_gym.errors import ConversionError
from nemo_gym.schemas.chat_completions import (
    ChatCompletion,
    ChatCompletionCreateParams,
    ChatCompletionMessage,
    ChatMessage,
    Choice,
    CompletionUsage,
)
from nemo_gym.schemas.responses import (
    EasyInputMessage,
    FunctionCall,
    FunctionCallOutput,
    FunctionTool,
    HostedToolItem,
    OutputMessage,
    OutputText,
    ReasoningItem,
    Response,
    ResponseCreateParams,
    ResponseUsage,
)
from nemo_gym.schemas.tokens import TokenFields

Item = EasyInputMessage | OutputMessage | FunctionCall | FunctionCallOutput | ReasoningItem | HostedToolItem
"""One item of a request's `input` or an answer's `output`."""


@dataclass(frozen=True)
class ChatDialect:
    """How one Chat Completions server words what the API leaves open."""

    reasoning_field: Literal["reasoning_content", "reasoning", "none"] = "reasoning_content"
    """Message field that takes earlier reasoning in a request; `none` leaves it out. Answers are read under both."""
    think_tags: bool = False
    """Whether reasoning stands in the text itself, as leading `<think>...</think>`, in requests and answers."""
    max_tokens_field: Literal["max_completion_tokens", "max_tokens"] = "max_completion_tokens"
    developer_role: Literal["developer", "system"] = "developer"
    """Role under which developer messages are sent: many chat templates know only `system`."""


OPENAI_DIALECT = ChatDialect()

_PARAGRAPH = "\n\n"
"""Between pieces of reasoning that a chat message holds as one text."""
_TOKEN_KEYS = ("prompt_token_ids", "generation_token_ids", "generation_log_probs", "routed_experts")
_SAME_IN_BOTH = {"model", "parallel_tool_calls", "temperature", "top_p", "store", "stream", "user"}
_REFUSED_IN_CHAT = {"previous_response_id", "background", "conversation", "prompt"}
"""Parameters without which a request means something else, and which Chat Completions does not have."""
_LEFT_OUT_IN_CHAT = {"context_management"}
_ECHOED = {
    "instructions",
    "metadata",
    "parallel_tool_calls",
    "tool_choice",
    "tools",
    "temperature",
    "top_p",
    "max_output_tokens",
}
"""Settings of a request that its Responses answer repeats."""
_FINISHED = {"stop", "tool_calls", "function_call", "eos_token", "stop_sequence", None}
"""`finish_reason` of an answer that ended by itself; any other word is why it is incomplete."""
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""`finish_reason` → `incomplete_details.reason`."""

# --------------------------------------------------------------------------------------------- Responses → chat request


def to_chat_request(params: ResponseCreateParams, dialect: ChatDialect = OPENAI_DIALECT) -> ChatCompletionCreateParams:
    """The chat request that asks for the same.

    Raises `ConversionError` for hosted tools, their items, and parameters that refer to the server's own storage.
    """
    params = unfold_metadata(params)
    given = params.model_dump(include=_SAME_IN_BOTH | _REFUSED_IN_CHAT, exclude_none=True)
    given |= {key: value for key, value in (params.model_extra or {}).items() if value is not None}
    for name in _REFUSED_IN_CHAT:
        if given.pop(name, None):
            raise ConversionError(
                f"`{name}`: Chat Completions has nothing like it; send the whole conversation in `input`"
            )

    request = {key: value for key, value in given.items() if key not in _LEFT_OUT_IN_CHAT}
    request["messages"] = to_chat_messages(params.input, dialect, instructions=params.instructions)
    _put(request, "metadata", params.metadata or None)
    _put(request, dialect.max_tokens_field, params.max_output_tokens)
    _put(request, "tool_choice", _chat_tool_choice(params.tool_choice))
    if params.tools:
        request["tools"] = [_chat_tool(tool, index) for index, tool in enumerate(params.tools)]
    if params.top_logprobs is not None or "message.output_text.logprobs" in (params.include or ()):
        request["logprobs"] = True
        _put(request, "top_logprobs", params.top_logprobs)
    _put(request, "reasoning_effort", (params.reasoning or {}).get("effort"))
    text = params.text or {}
    _put(request, "verbosity", text.get("verbosity"))
    _put(request, "response_format", _response_format(text.get("format")))
    return ChatCompletionCreateParams.model_validate(request)


def unfold_metadata(params: ResponseCreateParams) -> ResponseCreateParams:
    """The same request with the older form of extras, JSON text in `metadata`, made direct parameters.

    `metadata.extra_body` holds any parameters and wins over direct ones, `metadata.chat_template_kwargs` one of that
    name. Raises `ConversionError` where the text is no JSON object.
    """
    metadata = params.metadata or {}
    if not metadata.keys() & {"extra_body", "chat_template_kwargs"}:
        return params
    rest = {key: value for key, value in metadata.items() if key not in ("extra_body", "chat_template_kwargs")}
    extras = _json_object(metadata.get("extra_body"), "metadata.extra_body")
    template_kwargs = _json_object(metadata.get("chat_template_kwargs"), "metadata.chat_template_kwargs")
    if template_kwargs:
        direct = (params.model_extra or {}).get("chat_template_kwargs") or {}
        extras["chat_template_kwargs"] = {**direct, **extras.get("chat_template_kwargs", {}), **template_kwargs}
    return params.model_copy(update={**extras, "metadata": rest or None})


def to_chat_messages(
    items: str | Sequence[Item], dialect: ChatDialect = OPENAI_DIALECT, *, instructions: str | None = None
) -> list[ChatMessage]:
    """The conversation as messages, `instructions` as a system message before it.

    Reasoning, text and tool calls that follow one another become one assistant message: parallel calls stand together,
    as engines demand. A new one begins where the order (reasoning, text, calls) begins anew, and after token fields,
    which end a model call. While calls are unanswered everything joins them, since their outputs must come next.
    """
    messages: list[ChatMessage] = []
    if instructions is not None:
        messages.append(ChatMessage(role="system", content=instructions))
    if isinstance(items, str):
        return [*messages, ChatMessage(role="user", content=items)]
    turn = _AssistantTurn()
    for index, item in enumerate(items):
        if turn.ends_before(item):
            messages.extend(turn.messages(dialect))
            turn = _AssistantTurn()
        if isinstance(item, FunctionCallOutput):
            content = _chat_content(item.output)
            messages.append(ChatMessage(role="tool", tool_call_id=item.call_id, content=content))
        elif isinstance(item, EasyInputMessage) and item.role != "assistant":
            role = dialect.developer_role if item.role == "developer" else item.role
            name = (item.model_extra or {}).get("name")
            messages.append(ChatMessage(role=role, content=_chat_content(item.content), name=name))
        else:
            turn.add(item, f"input[{index}]")
    messages.extend(turn.messages(dialect))
    return messages


@dataclass
class _AssistantTurn:
    """What one model call produced, gathered item by item."""

    reasoning: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    logprobs: list[Any] = field(default_factory=list)
    tokens: dict[str, Any] = field(default_factory=dict)

    def ends_before(self, item: Item) -> bool:
        if isinstance(item, FunctionCallOutput) or (isinstance(item, EasyInputMessage) and item.role != "assistant"):
            return True
        if self.tokens:
            return True
        if self.tool_calls or isinstance(item, FunctionCall):
            return False
        return bool(self.texts or self.refusals)

    def add(self, item: Item, place: str) -> None:
        """Raises `ConversionError`, naming `place`, for an item that no assistant message can hold."""
        match item:
            case ReasoningItem():
                self.reasoning.append(reasoning_text(item))
            case OutputMessage():
                for part in item.content:
                    if isinstance(part, OutputText):
                        self.texts.append(part.text)
                        self.logprobs.extend(part.logprobs or ())
                    else:
                        self.refusals.append(part.refusal)
            case EasyInputMessage(role="assistant"):
                content = item.content
                self.texts.extend([content] if isinstance(content, str) else [_text_of(part) for part in content])
                self.tokens = {key: value for key, value in (item.model_extra or {}).items() if key in _TOKEN_KEYS}
            case FunctionCall():
                function = {"name": item.name, "arguments": item.arguments}
                self.tool_calls.append({"id": item.call_id, "type": "function", "function": function})
            case _:
                raise ConversionError(
                    f"{place}: an assistant message cannot hold `{item.type}`; use a model server with `api: responses`"
                )
        if isinstance(item, TokenFields):
            self.tokens = _tokens(item) or self.tokens

    def messages(self, dialect: ChatDialect) -> list[ChatMessage]:
        """The assistant message of this turn, or none where nothing was gathered."""
        if not (self.reasoning or self.texts or self.refusals or self.tool_calls):
            return []
        content: str | list[dict[str, Any]] | None
        if len(self.texts) > 1:
            content = [{"type": "text", "text": text} for text in self.texts]
        else:
            content = self.texts[0] if self.texts else None
        return [self._message(content, dialect)]

    def answer(self, dialect: ChatDialect) -> ChatCompletionMessage:
        """The same as the message of an answer, whose content is always one text."""
        message = self._message("".join(self.texts) if self.texts else None, dialect)
        return ChatCompletionMessage.model_validate(message.model_dump(exclude_none=True))

    def _message(self, content: str | list[dict[str, Any]] | None, dialect: ChatDialect) -> ChatMessage:
        fields: dict[str, Any] = dict(self.tokens)
        if self.reasoning and dialect.think_tags:
            thought = f"<think>{_PARAGRAPH.join(self.reasoning)}</think>"
            content = (
                [{"type": "text", "text": thought}, *content]
                if isinstance(content, list)
                else thought + (content or "")
            )
        elif self.reasoning and dialect.reasoning_field != "none":
            fields[dialect.reasoning_field] = _PARAGRAPH.join(self.reasoning)
        if self.refusals:
            fields["refusal"] = "".join(self.refusals)
        if self.tool_calls:
            fields["tool_calls"] = self.tool_calls
        elif content is None and not self.refusals:
            content = ""
        return ChatMessage(role="assistant", content=content, **fields)


def reasoning_text(item: ReasoningItem) -> str:
    """What a reasoning item says: its full text where the model gives it, else its summary."""
    parts = [_text_of(part) for part in item.content or ()] or [part.text for part in item.summary]
    return _PARAGRAPH.join(parts)


# --------------------------------------------------------------------------------------------- chat → Responses request


def to_responses_request(
    params: ChatCompletionCreateParams, dialect: ChatDialect = OPENAI_DIALECT
) -> ResponseCreateParams:
    """The Responses request that asks for the same. Raises `ConversionError` for `n` above 1, `functions`, `audio`."""
    given = params.model_dump(include=_SAME_IN_BOTH, exclude_none=True)
    given |= params.model_dump(include={"stop", "seed", "presence_penalty", "frequency_penalty"}, exclude_none=True)
    given |= {key: value for key, value in (params.model_extra or {}).items() if value is not None}
    if params.n not in (None, 1):
        raise ConversionError("`n` is above 1: a Responses request has one answer; send it several times")
    for name in ("functions", "function_call", "audio"):
        if name in given:
            raise ConversionError(f"`{name}`: the Responses API has nothing like it")

    request: dict[str, Any] = given
    text: dict[str, Any] = {}
    _put(text, "verbosity", request.pop("verbosity", None))
    _put(text, "format", _text_format(params.response_format))
    request["input"] = to_items(params.messages, dialect)
    _put(request, "text", text or None)
    _put(request, "metadata", params.metadata or None)
    max_tokens = params.max_completion_tokens if params.max_completion_tokens is not None else params.max_tokens
    _put(request, "max_output_tokens", max_tokens)
    _put(request, "tool_choice", _responses_tool_choice(params.tool_choice))
    if params.tools:
        request["tools"] = [
            {"type": "function", **tool.function.model_dump(exclude_none=True)}
            if tool.function is not None
            else tool.model_dump(exclude_none=True)
            for tool in params.tools
        ]
    if params.logprobs:
        request["include"] = ["message.output_text.logprobs"]
        _put(request, "top_logprobs", params.top_logprobs)
    if params.reasoning_effort is not None:
        request["reasoning"] = {"effort": params.reasoning_effort}
    return ResponseCreateParams.model_validate(request)


def to_items(messages: Iterable[ChatMessage], dialect: ChatDialect = OPENAI_DIALECT) -> list[Item]:
    """The conversation as items, in order; each assistant message becomes reasoning, then text, then tool calls."""
    items: list[Item] = []
    for message in messages:
        if message.role == "assistant":
            items.extend(_assistant_items(message, dialect))
        elif message.role == "tool":
            output = _responses_content(message.content or "")
            items.append(FunctionCallOutput(call_id=message.tool_call_id or "", output=output))
        else:
            extras = {} if message.name is None else {"name": message.name}
            content = _responses_content(message.content or "")
            items.append(EasyInputMessage(role=message.role, content=content, **extras))
    return items


def _assistant_items(message: ChatMessage, dialect: ChatDialect, stem: str | None = None) -> list[Item]:
    """The items of one assistant message, token fields on the last; ids are made from `stem` where it is given."""
    thought, texts = message.reasoning_content or message.reasoning, _texts(message.content)
    if dialect.think_tags and not thought and texts:
        thought, texts[0] = split_think_tags(texts[0])
    items: list[Item] = []
    if thought:
        summary = [{"type": "summary_text", "text": thought}]
        items.append(ReasoningItem.model_validate({"id": stem and f"rs_{stem}", "summary": summary}))
    content: list[dict[str, Any]] = [{"type": "output_text", "text": text} for text in texts if text]
    if message.refusal:
        content.append({"type": "refusal", "refusal": message.refusal})
    nothing_else = not (items or message.tool_calls)
    if not content and nothing_else and (message.content is not None or message.generation_token_ids is not None):
        content = [{"type": "output_text", "text": ""}]  # an empty answer is an answer, and token fields need an item
    if content:
        items.append(OutputMessage.model_validate({"id": stem and f"msg_{stem}", "content": content}))
    for index, call in enumerate(message.tool_calls or ()):
        item_id = stem and f"fc_{stem}_{index}"
        name, arguments = call.function.name, call.function.arguments
        items.append(FunctionCall(id=item_id, call_id=call.id, name=name, arguments=arguments, status="completed"))
    if items and (tokens := _tokens(message)):
        items[-1] = items[-1].model_copy(update=tokens)
    return items


def split_think_tags(text: str) -> tuple[str | None, str]:
    """(reasoning, answer) of a text that begins with `<think>...</think>`; (None, text) where it does not.

    The opening tag may be missing, as templates put it into the prompt; the closing one, as an answer may be cut short.
    """
    body = text.lstrip()
    opened = body.startswith("<think>")
    thought, closing, answer = body.removeprefix("<think>").partition("</think>")
    if not (opened or closing):
        return None, text
    return thought.strip() or None, answer.lstrip()


# -------------------------------------------------------------------------------------------------------------- answers


def to_response(
    completion: ChatCompletion, params: ResponseCreateParams | None = None, dialect: ChatDialect = OPENAI_DIALECT
) -> Response:
    """The first choice of a chat answer as a Responses answer, which echoes the settings of `params`.

    Raises `ConversionError` for an answer without choices.
    """
    if not completion.choices:
        raise ConversionError("the chat answer holds no choice: `choices` is empty")
    choice = completion.choices[0]
    items = _assistant_items(choice.message, dialect, completion.id.removeprefix("chatcmpl-"))
    logprobs = (choice.logprobs or {}).get("content")
    reason = (
        None if choice.finish_reason in _FINISHED else _INCOMPLETE.get(choice.finish_reason or "", choice.finish_reason)
    )
    for item in items:
        if isinstance(item, OutputMessage):
            item.status = "incomplete" if reason else "completed"
            if logprobs and isinstance(item.content[0], OutputText):
                item.content[0].logprobs = logprobs
    answer: dict[str, Any] = {
        "id": f"resp_{completion.id.removeprefix('chatcmpl-')}",
        "created_at": completion.created,
        "model": completion.model,
        "output": items,
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "usage": _responses_usage(completion.usage),
    }
    if params is not None:
        answer |= params.model_dump(include=_ECHOED, exclude_none=True)
    return Response.model_validate(answer)


def to_chat_completion(response: Response, dialect: ChatDialect = OPENAI_DIALECT) -> ChatCompletion:
    """One model call's Responses answer as a chat answer with one choice.

    Raises `ConversionError` for a failed response, and for one that holds tool outputs: that is a whole rollout.
    """
    if response.error is not None or response.status == "failed":
        raise ConversionError(f"the response failed: {(response.error or {}).get('message', 'no reason given')}")
    turn = _AssistantTurn()
    for index, item in enumerate(response.output):
        turn.add(item, f"output[{index}]")
    reason = response.incomplete_details.reason if response.incomplete_details else None
    finish = {value: key for key, value in _INCOMPLETE.items()}.get(reason or "", reason)
    choice = Choice(
        message=turn.answer(dialect),
        finish_reason=finish or ("tool_calls" if turn.tool_calls else "stop"),
        logprobs={"content": turn.logprobs, "refusal": None} if turn.logprobs else None,
    )
    return ChatCompletion(
        id=f"chatcmpl-{response.id.removeprefix('resp_')}",
        created=int(response.created_at),
        model=response.model,
        choices=[choice],
        usage=_chat_usage(response.usage),
    )


def _responses_usage(usage: CompletionUsage | None) -> ResponseUsage | None:
    if usage is None:
        return None
    cached = usage.prompt_tokens_details and usage.prompt_tokens_details.cached_tokens
    reasoning = usage.completion_tokens_details and usage.completion_tokens_details.reasoning_tokens
    return ResponseUsage.model_validate(
        {
            "input_tokens": usage.prompt_tokens,
            "output_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
            "input_tokens_details": {"cached_tokens": cached or 0},
            "output_tokens_details": {"reasoning_tokens": reasoning or 0},
        }
    )


def _chat_usage(usage: ResponseUsage | None) -> CompletionUsage | None:
    if usage is None:
        return None
    return CompletionUsage.model_validate(
        {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
            "prompt_tokens_details": {"cached_tokens": usage.input_tokens_details.cached_tokens},
            "completion_tokens_details": {"reasoning_tokens": usage.output_tokens_details.reasoning_tokens},
        }
    )


# ---------------------------------------------------------------------------------------------------- tools and formats


def _chat_tool(tool: FunctionTool, index: int) -> dict[str, Any]:
    if tool.type != "function":
        next_step = "use a model server with `api: responses`"
        raise ConversionError(f"tools[{index}]: Chat Completions has no hosted tool `{tool.type}`; {next_step}")
    return {"type": "function", "function": tool.model_dump(exclude={"type"}, exclude_none=True)}


def _chat_tool_choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    """`{"type": "function", "name": n}` → `{"type": "function", "function": {"name": n}}`, inside allowed tools too."""
    if choice is None or isinstance(choice, str):
        return choice
    kind = choice.get("type")
    if kind == "function":
        return {"type": "function", "function": {"name": choice["name"]}}
    if kind == "allowed_tools":
        tools = [_chat_tool_choice(tool) for tool in choice["tools"]]
        return {"type": "allowed_tools", "allowed_tools": {"mode": choice["mode"], "tools": tools}}
    raise ConversionError(f"tool_choice.type: Chat Completions has no `{kind}`")


def _responses_tool_choice(choice: str | dict[str, Any] | None) -> str | dict[str, Any] | None:
    if choice is None or isinstance(choice, str):
        return choice
    kind = choice.get("type")
    if kind == "function":
        return {"type": "function", "name": choice["function"]["name"]}
    if kind == "allowed_tools":
        allowed = choice["allowed_tools"]
        tools = [_responses_tool_choice(tool) for tool in allowed["tools"]]
        return {"type": "allowed_tools", "mode": allowed["mode"], "tools": tools}
    raise ConversionError(f"tool_choice.type: the Responses API has no `{kind}`")


def _response_format(text_format: dict[str, Any] | None) -> dict[str, Any] | None:
    """`text.format` as `response_format`: a JSON schema's fields move one level down."""
    if text_format is None or text_format.get("type") != "json_schema":
        return text_format
    return {"type": "json_schema", "json_schema": {k: v for k, v in text_format.items() if k != "type"}}


def _text_format(response_format: dict[str, Any] | None) -> dict[str, Any] | None:
    if response_format is None or response_format.get("type") != "json_schema":
        return response_format
    return {"type": "json_schema", **response_format["json_schema"]}


# -------------------------------------------------------------------------------------------------------- content parts


def _chat_content(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    return content if isinstance(content, str) else [_chat_part(part) for part in content]


def _chat_part(part: dict[str, Any]) -> dict[str, Any]:
    """One Responses part as a chat part; kinds that both word alike (`input_audio`), or neither knows, stay."""
    match part.get("type"):
        case "input_text" | "output_text":
            return {"type": "text", "text": part["text"]}
        case "input_image":
            if not part.get("image_url"):
                raise ConversionError(
                    "`input_image` needs `image_url` (a URL or data URL): Chat Completions has no file ids"
                )
            detail = {"detail": part["detail"]} if part.get("detail") else {}
            return {"type": "image_url", "image_url": {"url": part["image_url"], **detail}}
        case "input_file":
            return {"type": "file", "file": {k: v for k, v in part.items() if k != "type"}}
    return part


def _responses_content(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    return content if isinstance(content, str) else [_responses_part(part) for part in content]


def _responses_part(part: dict[str, Any]) -> dict[str, Any]:
    match part.get("type"):
        case "text":
            return {"type": "input_text", "text": part["text"]}
        case "image_url":
            detail = {"detail": part["image_url"]["detail"]} if part["image_url"].get("detail") else {}
            return {"type": "input_image", "image_url": part["image_url"]["url"], **detail}
        case "file":
            return {"type": "input_file", **part["file"]}
    return part


def _texts(content: str | list[dict[str, Any]] | None) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [_text_of(part) for part in content or ()]


def _text_of(part: dict[str, Any]) -> str:
    text = part.get("text", part.get("refusal"))
    if not isinstance(text, str):
        raise ConversionError(
            f"a part of type `{part.get('type')}` cannot stand in an assistant's message: only text can"
        )
    return text


def _tokens(source: TokenFields) -> dict[str, Any]:
    """The token fields that are set: none of them, or the triplet and what belongs to it."""
    if source.generation_token_ids is None:
        return {}
    tokens = {
        "prompt_token_ids": source.prompt_token_ids,
        "generation_token_ids": source.generation_token_ids,
        "generation_log_probs": source.generation_log_probs,
    }
    _put(tokens, "routed_experts", source.routed_experts)
    return tokens


def _json_object(value: Any, place: str) -> dict[str, Any]:
    if value is None:
        return {}
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except json.JSONDecodeError as error:
        raise ConversionError(f"{place}: no JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ConversionError(f"{place}: must be a JSON object, is {type(parsed).__name__}")
    return dict(parsed)


def _put(target: dict[str, Any], key: str, value: Any) -> None:
    if value is not None:
        target[key] = value

"""A conversation: a flat list of items in the Responses API, a list of messages in Chat Completions.

One assistant message holds what one model call produced: reasoning, text and tool calls. So going to chat groups items,
coming back takes messages apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from nemo_gym.converters.content import chat_content, responses_content, text_of, texts_of
from nemo_gym.converters.dialect import OPENAI_DIALECT, ChatDialect
from nemo_gym.converters.think_tags import split_think_tags
from nemo_gym.errors import ConversionError
from nemo_gym.schemas.chat_completions import ChatCompletionMessage, ChatMessage
from nemo_gym.schemas.responses import (
    EasyInputMessage,
    FunctionCall,
    FunctionCallOutput,
    HostedToolItem,
    OutputMessage,
    OutputText,
    ReasoningItem,
)
from nemo_gym.schemas.tokens import TOKEN_KEYS, TokenFields

Item = EasyInputMessage | OutputMessage | FunctionCall | FunctionCallOutput | ReasoningItem | HostedToolItem
"""One item of a request's `input` or an answer's `output`."""

_TOKEN_KEYS = set(TOKEN_KEYS)
_PARAGRAPH = "\n\n"
"""Between pieces of reasoning that a chat message holds as one text."""


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
    turn = AssistantTurn()
    for index, item in enumerate(items):
        if turn.ends_before(item):
            messages.extend(turn.messages(dialect))
            turn = AssistantTurn()
        if isinstance(item, FunctionCallOutput):
            content = chat_content(item.output)
            messages.append(ChatMessage(role="tool", tool_call_id=item.call_id, content=content))
        elif isinstance(item, EasyInputMessage) and item.role != "assistant":
            role = dialect.developer_role if item.role == "developer" else item.role
            name = (item.model_extra or {}).get("name")
            messages.append(ChatMessage(role=role, content=chat_content(item.content), name=name))
        else:
            turn.add(item, f"input[{index}]")
    messages.extend(turn.messages(dialect))
    return messages


@dataclass
class AssistantTurn:
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
                self.texts.extend([content] if isinstance(content, str) else [text_of(part) for part in content])
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
    parts = [text_of(part) for part in item.content or ()] or [part.text for part in item.summary]
    return _PARAGRAPH.join(parts)


def to_items(messages: Iterable[ChatMessage], dialect: ChatDialect = OPENAI_DIALECT) -> list[Item]:
    """The conversation as items, in order; each assistant message becomes reasoning, then text, then tool calls."""
    items: list[Item] = []
    for message in messages:
        if message.role == "assistant":
            items.extend(assistant_items(message, dialect))
        elif message.role == "tool":
            output = responses_content(message.content or "")
            items.append(FunctionCallOutput(call_id=message.tool_call_id or "", output=output))
        else:
            extras = {} if message.name is None else {"name": message.name}
            content = responses_content(message.content or "")
            items.append(EasyInputMessage(role=message.role, content=content, **extras))
    return items


def assistant_items(message: ChatMessage, dialect: ChatDialect, stem: str | None = None) -> list[Item]:
    """The items of one assistant message, token fields on the last; ids are made from `stem` where it is given."""
    thought, texts = message.reasoning_content or message.reasoning, texts_of(message.content)
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


def _tokens(source: TokenFields) -> dict[str, Any]:
    """The token fields that are set: none of them, or all that belong together."""
    if source.generation_token_ids is None:
        return {}
    return source.model_dump(include=_TOKEN_KEYS, exclude_none=True)

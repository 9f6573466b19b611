"""What stands in a message: text, images, files, worded for one API or the other."""

from __future__ import annotations

from typing import Any

from nemo_gym.errors import ConversionError


def chat_content(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
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


def responses_content(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
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


def texts_of(content: str | list[dict[str, Any]] | None) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [text_of(part) for part in content or ()]


def text_of(part: dict[str, Any]) -> str:
    text = part.get("text", part.get("refusal"))
    if not isinstance(text, str):
        raise ConversionError(
            f"a part of type `{part.get('type')}` cannot stand in an assistant's message: only text can"
        )
    return text

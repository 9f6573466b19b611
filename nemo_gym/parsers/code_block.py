"""Fenced code in a text: the blocks between lines of three or more backticks or tildes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CodeBlock:
    """One complete fenced block."""

    language: str
    """First word after the opening fence in lower case, `""` if there is none."""
    code: str
    """The lines between the fences, without the last line's end."""


def code_blocks(text: str, *languages: str) -> list[CodeBlock]:
    """The fenced blocks of `text` in order; with `languages`, those in one of them (`""`: those that name none).

    A fence is a line of its own: at most three spaces, at least three backticks or tildes, then the language. It is
    closed by a line of the same sign, at least as many and nothing else; a block that is not closed is passed over.
    """
    blocks: list[CodeBlock] = []
    fence, language, lines = "", "", list[str]()
    for line in text.split("\n"):
        line = line.removesuffix("\r")
        sign, length, rest = _fence(line)
        if not fence:
            if length and not (sign == "`" and "`" in rest):
                fence, language, lines = sign * length, _first_word(rest), []
        elif length >= len(fence) and sign == fence[0] and not rest:
            blocks.append(CodeBlock(language, "\n".join(lines)))
            fence = ""
        else:
            lines.append(line)
    return [block for block in blocks if not languages or block.language in languages]


def last_code_block(text: str, *languages: str) -> str | None:
    """The code of the last block (in one of `languages`, if any are given); None if there is none."""
    blocks = code_blocks(text, *languages)
    return blocks[-1].code if blocks else None


def only_code_block(text: str, *languages: str) -> str | None:
    """The code of the block, where there is exactly one (in one of `languages`, if any are given); else None."""
    blocks = code_blocks(text, *languages)
    return blocks[0].code if len(blocks) == 1 else None


def _fence(line: str) -> tuple[str, int, str]:
    """Sign, number of signs, and what follows them; number 0 where the line is no fence."""
    stripped = line.lstrip(" ")
    sign = stripped[:1]
    if sign not in ("`", "~") or len(line) - len(stripped) > 3:
        return "", 0, ""
    rest = stripped.lstrip(sign)
    length = len(stripped) - len(rest)
    return (sign, length, rest.strip()) if length >= 3 else ("", 0, "")


def _first_word(info: str) -> str:
    words = info.split(maxsplit=1)
    return words[0].lower() if words else ""

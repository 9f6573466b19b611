"""The one bash command of a policy's turn, found in its text."""

from __future__ import annotations

from dataclasses import dataclass

from nemo_gym.parsers.code_block import code_blocks

MAX_COMMAND_BYTES = 100_000
"""Linux takes no single argument above 128 KiB."""
FORM = "Write one command a turn, in exactly one block that begins with ```bash and ends with ```."


@dataclass(frozen=True)
class FormatError:
    """What is wrong with a turn, in words for the policy."""

    text: str


def find_command(text: str) -> str | FormatError:
    """The command in the only ```bash block of `text`; a longer fence lets a command hold ``` lines of its own."""
    blocks = code_blocks(text, "bash")
    if len(blocks) != 1:
        found = "no such block" if not blocks else f"{len(blocks)} of them"
        return FormatError(f"Your answer holds {found}. {FORM}")
    command = blocks[0].code
    if not command.strip():
        return FormatError(f"The block is empty. {FORM}")
    size = len(command.encode("utf-8", "replace"))
    if size > MAX_COMMAND_BYTES:
        return FormatError(f"The command has {size:,} bytes; {MAX_COMMAND_BYTES:,} are allowed.")
    if "\0" in command:
        return FormatError("A command cannot hold the character NUL.")
    return command

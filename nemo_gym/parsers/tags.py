"""Tags in a text, `<sql>…</sql>`: their contents, and whether a text has exactly the form that was asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class TaggedBlock:
    """One complete pair of tags."""

    tag: str
    content: str
    """What stands between the tags, spaces included."""
    start: int
    """Where the opening tag begins in the text."""
    end: int
    """Where the closing tag is over."""


def tagged_blocks(text: str, *tags: str) -> list[TaggedBlock]:
    """Blocks of any of `tags`, in order: each from an opening tag to the next closing tag of the same name.

    Whatever stands inside a block is content, tags included; blocks do not overlap. An opening tag that is never closed
    and a closing tag that was never opened are passed over. Tags are written exactly so: no attributes, case matters.
    """
    marks = list(_marks(text, tags))
    closings = {tag: [mark for mark in marks if mark.group("tag") == tag and mark.group("slash")] for tag in tags}
    next_closing = dict.fromkeys(tags, 0)
    blocks: list[TaggedBlock] = []
    end = 0
    for mark in marks:
        tag = mark.group("tag")
        if mark.group("slash") or mark.start() < end:
            continue
        of_this_tag = closings[tag]
        while next_closing[tag] < len(of_this_tag) and of_this_tag[next_closing[tag]].start() < mark.end():
            next_closing[tag] += 1
        if next_closing[tag] < len(of_this_tag):
            closing = of_this_tag[next_closing[tag]]
            blocks.append(TaggedBlock(tag, text[mark.end() : closing.start()], mark.start(), closing.end()))
            end = closing.end()
    return blocks


def all_tags(text: str, tag: str) -> list[str]:
    """Contents of all `<tag>…</tag>`, in order; empty if there is none. As `<tag>(.*?)</tag>` finds them."""
    return [block.content for block in tagged_blocks(text, tag)]


def first_tag(text: str, tag: str) -> str | None:
    """Content of the first complete `<tag>…</tag>`; None if there is none."""
    found = all_tags(text, tag)
    return found[0] if found else None


def last_tag(text: str, tag: str) -> str | None:
    """Content of the last complete `<tag>…</tag>`; None if there is none."""
    found = all_tags(text, tag)
    return found[-1] if found else None


def tag_sequence(text: str, *tags: str) -> tuple[str, ...] | None:
    """Contents of `tags` if the text is exactly these blocks in this order, with nothing but space between; else None.

    `tag_sequence(text, "think", "answer")` reads `<think>…</think> <answer>…</answer>`. See `sequence_problem`.
    """
    if sequence_problem(text, *tags) is not None:
        return None
    return tuple(block.content for block in tagged_blocks(text, *tags))


def sequence_problem(text: str, *tags: str) -> str | None:
    """The first thing that keeps a text from being exactly these blocks in this order; None if nothing does.

    In words for the model: a tag missing, written twice, not closed, out of order, or text outside of the blocks.
    `tags` are distinct.
    """
    marks = [mark.group() for mark in _marks(text, tags)]
    wanted = [written for tag in tags for written in (f"<{tag}>", f"</{tag}>")]
    for written in wanted:
        count = marks.count(written)
        if count != 1:
            return f"{written} is missing" if count == 0 else f"{written} stands there {count} times, not once"
    if marks != wanted:
        return f"the order is not {''.join(wanted)}"
    position = 0
    for block in tagged_blocks(text, *tags):
        if text[position : block.start].strip():
            return f"there is text before <{block.tag}> that belongs to no block"
        position = block.end
    return f"there is text after {wanted[-1]}" if text[position:].strip() else None


def _marks(text: str, tags: tuple[str, ...]) -> list[re.Match[str]]:
    """Each opening and closing tag, in order."""
    names = "|".join(re.escape(tag) for tag in tags)
    return list(re.finditer(rf"<(?P<slash>/?)(?P<tag>{names})>", text))

"""Reads what a policy wrote in one turn, and scores its answer. Pure functions, linear in the length of the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nemo_gym.parsers.tags import all_tags, last_tag, sequence_problem, tagged_blocks
from nemo_gym.scoring.text_match import contains_match, exact_match, normalize_answer, token_f1

Metric = Literal["exact_match", "f1", "contains"]

SEARCH, ANSWER, THINK = "search", "answer", "think"


@dataclass(frozen=True)
class Move:
    """What a turn comes to: a search, an answer, or neither."""

    search: str | None = None
    """The query; not blank."""
    answer: str | None = None
    """May be empty."""
    problem: str | None = None
    """Why the turn is neither, in words for the policy."""
    well_formed: bool = False
    """Whether it is exactly `<think>…</think>` and then the search or the answer."""


def read_move(text: str) -> Move:
    """The first `<search>` or `<answer>` outside of `<think>`. What a policy imagines after that does not count."""
    blocks = [block for block in tagged_blocks(text, THINK, SEARCH, ANSWER) if block.tag != THINK]
    if not blocks:
        return Move(problem="there is no complete <search>...</search> and no complete <answer>...</answer>")
    first = blocks[0]
    well_formed = sequence_problem(text, THINK, first.tag) is None
    if first.tag == ANSWER:
        return Move(answer=first.content.strip(), well_formed=well_formed)
    if not first.content.strip():
        return Move(problem="there is nothing between <search> and </search>")
    return Move(search=first.content.strip(), well_formed=well_formed)


def read_final_message(text: str) -> Move:
    """The answer in the last message of a policy that searches by tool calls: in `<answer>`, else the whole text."""
    tagged = last_tag(text, ANSWER)
    if tagged is None and not text.strip():
        return Move(problem="there is no answer in it")
    return Move(answer=(text if tagged is None else tagged).strip(), well_formed=tagged is not None)


def score_answer(answer: str, accepted: Sequence[str], metric: Metric) -> float:
    """0.0 to 1.0, the best over the accepted answers; after normalising case, punctuation, articles and spaces.

    What normalises to nothing, such as "The", is compared as it stands: else an empty answer would be right.
    """
    if not normalize_answer(answer):
        return float(bool(answer) and answer.strip().lower() in (one.strip().lower() for one in accepted))
    accepted = [one for one in accepted if normalize_answer(one)]
    if metric == "f1":
        return token_f1(answer, accepted)
    return float((exact_match if metric == "exact_match" else contains_match)(answer, accepted))


def skyrl_query(text: str) -> str | None:
    """The query that skyrl-gym 0.4.0 finds in a turn: what the first `<search>…</search>` holds; None for nothing."""
    found = all_tags(text, SEARCH)
    return found[0].strip() if found else None


def skyrl_score(conversation: str, accepted: Sequence[str]) -> float:
    """Its reward for a whole conversation, passages included: whether the last `<answer>…</answer>` is right."""
    answer = last_tag(conversation, ANSWER)
    return float(answer is not None and exact_match(answer.strip(), accepted))

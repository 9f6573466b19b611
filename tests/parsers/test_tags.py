import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_gym.parsers.tags import (
    TaggedBlock,
    all_tags,
    first_tag,
    last_tag,
    sequence_problem,
    tag_sequence,
    tagged_blocks,
)

tag_soup = st.lists(st.sampled_from(["<a>", "</a>", "<b>", "</b>", "x", " ", "\n", "<", ">"]), max_size=30).map("".join)


def test_first_last_and_all_contents_are_found_with_the_space_inside() -> None:
    text = "Let me see.<sql> SELECT 1\n</sql> then <sql>SELECT 2</sql>."
    assert all_tags(text, "sql") == [" SELECT 1\n", "SELECT 2"]
    assert first_tag(text, "sql") == " SELECT 1\n"
    assert last_tag(text, "sql") == "SELECT 2"


@pytest.mark.parametrize("text", ["", "SELECT 1", "<sql>SELECT 1", "SELECT 1</sql>", "</sql>1<sql>", "<SQL>1</SQL>"])
def test_nothing_is_found_where_no_pair_of_tags_is_complete(text: str) -> None:
    assert all_tags(text, "sql") == []
    assert first_tag(text, "sql") is None
    assert last_tag(text, "sql") is None


@given(tag_soup)
def test_contents_are_those_of_the_usual_pattern(text: str) -> None:
    assert all_tags(text, "a") == re.findall("<a>(.*?)</a>", text, re.DOTALL)


def test_blocks_of_several_tags_come_in_the_order_of_the_text() -> None:
    text = "<think>a <search>b</search></think><search>c</search>"
    assert tagged_blocks(text, "search", "think") == [
        TaggedBlock("think", "a <search>b</search>", 0, 35),
        TaggedBlock("search", "c", 35, 53),
    ]


def test_a_tag_that_is_never_closed_does_not_hide_the_blocks_after_it() -> None:
    assert [block.content for block in tagged_blocks("<think>hm <answer>4</answer>", "think", "answer")] == ["4"]


def test_a_sequence_is_read_when_the_text_is_exactly_that() -> None:
    assert tag_sequence(" <think>a</think>\n<answer>4</answer> ", "think", "answer") == ("a", "4")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "<think> is missing"),
        ("<think>a</think>", "<answer> is missing"),
        ("<think>a</think><answer>4", "</answer> is missing"),
        ("<answer>4</answer><think>a</think>", "the order is not <think></think><answer></answer>"),
        ("<think>a<answer>4</answer></think>", "the order is not <think></think><answer></answer>"),
        ("<think><think>a</think><answer>4</answer>", "<think> stands there 2 times, not once"),
        ("Hm. <think>a</think><answer>4</answer>", "there is text before <think> that belongs to no block"),
        ("<think>a</think>so <answer>4</answer>", "there is text before <answer> that belongs to no block"),
        ("<think>a</think><answer>4</answer>.", "there is text after </answer>"),
    ],
)
def test_the_problem_of_another_form_is_named(text: str, problem: str) -> None:
    assert sequence_problem(text, "think", "answer") == problem
    assert tag_sequence(text, "think", "answer") is None


@given(tag_soup)
def test_a_sequence_is_what_the_strict_pattern_matches(text: str) -> None:
    inside = "((?:(?!</?[ab]>).)*)"
    match = re.fullmatch(rf"\s*<a>{inside}</a>\s*<b>{inside}</b>\s*", text, re.DOTALL)
    assert tag_sequence(text, "a", "b") == (match.groups() if match else None)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nemo_gym.parsers.boxed import all_boxed, first_boxed, last_boxed


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        (r"so $\boxed{42}$.", ["42"]),
        (r"\boxed {42}", ["42"]),
        (r"\boxed{1} or \boxed{2}", ["1", "2"]),
        (r"\boxed{\frac{1}{2}}", [r"\frac{1}{2}"]),
        (r"\boxed{\{1, 2\}}", [r"\{1, 2\}"]),
        (r"\boxed{}", [""]),
        (r"\boxed{x = \boxed{5}}", ["5"]),
        (r"\boxed{\boxed{1} \boxed{2}}", ["1", "2"]),
        (r"\\boxed{7}", ["7"]),
        (r"} { \boxed{7}", ["7"]),
        (r"\boxed{7 and \boxed{8}", ["8"]),
        (r"\boxed{7", []),
        (r"\boxed{ {7 }", []),
        (r"boxed{7}", []),
        ("", []),
    ],
)
def test_complete_boxes_are_found_and_others_passed_over(text: str, boxes: list[str]) -> None:
    assert all_boxed(text) == boxes
    assert first_boxed(text) == (boxes[0] if boxes else None)
    assert last_boxed(text) == (boxes[-1] if boxes else None)


@given(st.lists(st.sampled_from([r"\boxed{", "{", "}", r"\{", r"\}", "x", "\\"]), max_size=30).map("".join))
def test_the_braces_of_every_box_match(text: str) -> None:
    for content in all_boxed(text):
        depth = 0
        for brace in content.replace(r"\{", "").replace(r"\}", ""):
            depth += (brace == "{") - (brace == "}")
            assert depth >= 0
        assert depth == 0

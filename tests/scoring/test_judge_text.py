import pytest

from nemo_gym.scoring.judge_text import labelled_verdict, numeric_grade

read_verdict = labelled_verdict({"[[CORRECT]]": 1.0, "[[WRONG]]": 0.0})
read_grade = numeric_grade(1, 5)


def test_the_last_label_counts() -> None:
    assert read_verdict("At first [[WRONG]], but no: [[CORRECT]]") == 1.0
    assert read_verdict("[[WRONG]]") == 0.0


@pytest.mark.parametrize("text", ["", "It is correct.", "[CORRECT]"])
def test_a_text_without_label_has_no_verdict(text: str) -> None:
    with pytest.raises(ValueError, match=r"none of \[\[CORRECT\]\], \[\[WRONG\]\] is in it"):
        read_verdict(text)


def test_labels_within_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="'CORRECT' stands within"):
        labelled_verdict({"CORRECT": True, "INCORRECT": False})


@pytest.mark.parametrize(
    "text",
    [
        "Good. <score>4</score>",
        "<score> 4 / 5 </score>",
        '{"reason": "score: 1", "score": 4}',
        '{"score": "4/5"}',
        "Score: 4",
        "**Score:** 4/5",
        "score: 1 at first, but then\n*score* = 4.0.",
    ],
)
def test_a_grade_is_read_from_tag_json_or_words_and_scaled(text: str) -> None:
    assert read_grade(text) == 0.75


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4",
        "<score></score>",
        "<score>6</score>",
        "<score>0.5</score>",
        "Score: 4/10",
        '{"score": true}',
        "score: high",
    ],
)
def test_a_text_without_such_a_grade_has_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"no grade is in it|is no number from 1 to 5"):
        read_grade(text)


def test_the_grade_may_have_another_name() -> None:
    assert numeric_grade(0, 10, key="helpfulness")('{"helpfulness": 5, "score": 9}') == 0.5

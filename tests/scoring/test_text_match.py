import pytest

from nemo_gym.scoring.text_match import contains_match, exact_match, normalize_answer, token_f1


def test_case_punctuation_articles_and_spaces_do_not_count() -> None:
    assert normalize_answer(" The  Beatles' (a band)!\n") == "beatles band"
    assert normalize_answer("Athens, anthem") == "athens anthem"


def test_exact_match_holds_an_answer_against_one_or_several() -> None:
    assert exact_match("the U.S.A.", "USA")
    assert exact_match("Paris", ["Lyon", "paris."])
    assert not exact_match("Paris, France", ["Paris"])
    assert not exact_match("Paris", [])


def test_contains_match_finds_the_expected_answer_within() -> None:
    assert contains_match("It is the city of Paris.", "City of Paris")
    assert not contains_match("It is Lyon.", ["Paris"])


@pytest.mark.parametrize(
    ("answer", "expected", "f1"),
    [
        ("the cat sat", "a cat sat", 1.0),
        ("cat", "cat sat", 2 / 3),
        ("cat cat", "cat", 2 / 3),
        ("dog", "cat", 0.0),
        ("", "cat", 0.0),
        ("", "the", 1.0),
        ("cat", ["dog", "cat sat", "cat"], 1.0),
        ("cat", [], 0.0),
    ],
)
def test_token_f1_weighs_what_is_missing_and_what_is_too_much(
    answer: str, expected: str | list[str], f1: float
) -> None:
    assert token_f1(answer, expected) == pytest.approx(f1)

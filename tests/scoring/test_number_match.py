from fractions import Fraction

import pytest

from nemo_gym.scoring.number_match import numbers_equal


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("$1,234.00", "1234"), ("0.5", "1/2"), ("-3.", "-3"), ("60%", "60"), (Fraction(1, 3), "1/3"), ("2e3", "2000")],
)
def test_numbers_are_equal_by_value_however_written(answer: str | Fraction, expected: str) -> None:
    assert numbers_equal(answer, expected)


@pytest.mark.parametrize("answer", ["0.333333333", "one third", "", None, "1/3 of it"])
def test_another_value_or_no_number_is_not_equal(answer: str | None) -> None:
    assert not numbers_equal(answer, "1/3")


def test_tolerance_is_relative_and_percent_can_be_a_fraction() -> None:
    assert numbers_equal("101", "100", tolerance=0.0101)
    assert not numbers_equal("102", "100", tolerance=0.0101)
    assert numbers_equal("50%", "0.5", percent_as_fraction=True)


def test_an_expected_answer_that_is_no_number_is_a_mistake_of_the_row() -> None:
    with pytest.raises(ValueError, match="'twelve' is no number"):
        numbers_equal("12", "twelve")

import pytest

from nemo_gym.scoring.hash_answer import HashGrade, grade_hash_answer, grade_hash_answer_literally


def test_the_last_answer_counts_by_value() -> None:
    assert grade_hash_answer("#### 7\nNo:\n#### $1,234.00", "1234") == HashGrade("1234", True)
    assert grade_hash_answer("#### 2.5", "5/2") == HashGrade("5/2", True)
    assert grade_hash_answer("#### 7", "8") == HashGrade("7", False)
    assert not grade_hash_answer("It is 8.", "8").well_formed


def test_the_first_answer_counts_as_text_where_taken_literally() -> None:
    assert grade_hash_answer_literally("#### 1,234 #### 7", "1234") == HashGrade("1234", True)
    assert grade_hash_answer_literally("#### 1234.00", "1234") == HashGrade("1234.00", False)
    assert grade_hash_answer_literally("#### $1234", "1234") == HashGrade(None, False)


def test_an_expected_answer_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="no number"):
        grade_hash_answer("#### 7", "seven")

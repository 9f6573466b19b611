import pytest

from nemo_gym.scoring.multiple_choice import chosen_letter


@pytest.mark.parametrize(
    "text",
    [
        "B",
        " (b). ",
        "**B**",
        "B) Paris",
        "[B]",
        "**B.** Paris",
        "B. Paris",
        "Not A, since 3 > 2. The answer is (B).",
        "Answer: **B**, because option C is smaller.",
        "First I thought the answer is A. No: the answer is option B",
        r"The answer is A? No: $\boxed{B}$",
        r"$\boxed{\text{(B)}}$",
    ],
)
def test_the_letter_that_a_text_chooses_is_found(text: str) -> None:
    assert chosen_letter(text) == "B"


@pytest.mark.parametrize(
    "text", ["", "E", "Paris", "A good question", "B or C", "the answer is not B", r"\boxed{AB}", "bad", "answer: Bern"]
)
def test_a_text_without_a_choice_has_none(text: str) -> None:
    assert chosen_letter(text) is None


def test_other_letters_can_be_given() -> None:
    assert chosen_letter("Answer: E", "ABCDE") == "E"
    assert chosen_letter("(2)", "1234") == "2"

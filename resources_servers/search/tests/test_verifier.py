import pytest

from resources_servers.search.verifier import read_final_message, read_move, score_answer


def test_a_turn_is_its_first_search_or_answer_outside_of_the_thoughts() -> None:
    assert read_move("<think>so <answer>no</answer></think><search> a river </search>").search == "a river"
    move = read_move("<search>x</search><information>made up</information><answer>y</answer>")
    assert (move.search, move.answer) == ("x", None)
    assert read_move("<answer> Salo </answer><search>x</search>").answer == "Salo"


@pytest.mark.parametrize(
    "text", ["", "Salo", "<search>x", "<answer>", "</search><search>", "<think><search>x</search></think>"]
)
def test_a_turn_without_a_complete_block_is_neither(text: str) -> None:
    move = read_move(text)
    assert (move.search, move.answer, move.well_formed) == (None, None, False)
    assert "no complete <search>" in str(move.problem)


def test_an_empty_query_is_no_search_but_an_empty_answer_is_an_answer() -> None:
    assert "nothing between" in str(read_move("<search> \n</search>").problem)
    assert read_move("<answer></answer>").answer == ""


def test_a_turn_is_well_formed_with_thoughts_first_and_nothing_else() -> None:
    assert read_move("<think>a</think>\n<search>b</search>\n").well_formed
    assert not read_move("<search>b</search>").well_formed
    assert not read_move("<think>a</think> so <answer>b</answer>").well_formed


def test_the_final_message_is_the_answer_where_no_tag_says_what_is() -> None:
    assert read_final_message(" Salo ").answer == "Salo"
    assert read_final_message("It is <answer>Salo</answer>.").answer == "Salo"
    assert read_final_message(" ").answer is None


@pytest.mark.parametrize(
    ("metric", "answer", "score"),
    [
        ("exact_match", "the  river SALO!", 1.0),
        ("exact_match", "Salo", 1.0),
        ("exact_match", "Salo or Orm", 0.0),
        ("exact_match", "", 0.0),
        ("contains", "It is the Salo, I think", 1.0),
        ("contains", "Orm", 0.0),
        ("f1", "Salo Orm", 2 / 3),
        ("f1", "", 0.0),
    ],
)
def test_an_answer_is_scored_against_the_best_of_those_accepted(metric: str, answer: str, score: float) -> None:
    assert score_answer(answer, ["Salo", "River Salo"], metric) == pytest.approx(score)  # type: ignore[arg-type]


@pytest.mark.parametrize("metric", ["exact_match", "contains", "f1"])
def test_an_accepted_answer_that_normalises_to_nothing_is_not_given_away(metric: str) -> None:
    assert score_answer("", ["The"], metric) == score_answer("?", ["A"], metric) == 0.0  # type: ignore[arg-type]
    assert score_answer("a", ["A"], metric) == 1.0  # type: ignore[arg-type]
    assert score_answer("Orm", ["A"], metric) == 0.0  # type: ignore[arg-type]

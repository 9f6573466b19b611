import random
import re

import pytest

from nemo_gym.datasets.word_problems import KINDS, make_problem
from nemo_gym.parsers.numbers import find_numbers

_EQUATION = re.compile(r"((?:[(]?\d+[)]? [-+*/] )+[(]?\d+[)]?) = (\d+)")


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
def test_every_equation_of_a_solution_holds_and_the_last_gives_the_answer(kind: object) -> None:
    assert callable(kind)
    for seed in range(40):
        question, steps, answer = kind(random.Random(seed))
        assert answer > 0 and steps and question.endswith("?")
        equations = [equation for step in steps for equation in _EQUATION.findall(step)]
        assert equations
        for terms, result in equations:
            assert eval(terms) == int(result), (question, terms)
        assert str(answer) in steps[-1]
        assert all(number.value >= 0 for number in find_numbers(question)), question


def test_problems_follow_from_the_generator_and_hardly_ever_repeat() -> None:
    def problems(seed: int) -> list[str]:
        return [make_problem(random.Random(f"{seed}/{index}")).question for index in range(1_000)]

    assert problems(0) == problems(0)
    assert len(set(problems(0) + problems(1))) >= 1_995


def test_a_problem_has_its_answer_after_the_mark() -> None:
    problem = make_problem(random.Random(1))
    assert problem.solution.endswith(f"\n#### {problem.answer}")

import pytest

from nemo_gym.parsers.actions import Actions, read_actions

MOVES = ("Left", "Down", "Right", "Up")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Right", ("Right",)),
        ("Right || Down||Down", ("Right", "Down", "Down")),
        (" right || DOWN ", ("Right", "Down")),
        ("Up ||", ("Up",)),
        ("1 || r", ("Down", "Right")),
    ],
)
def test_actions_are_read_by_name_or_alias(text: str, names: tuple[str, ...]) -> None:
    actions = read_actions(text, MOVES, aliases={"1": "Down", "R": "Right"})
    assert actions == Actions(names)
    assert actions.well_formed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Actions(())),
        ("  \n", Actions(())),
        ("||", Actions((), "")),
        ("Jump", Actions((), "Jump")),
        ("Right || Jump || Up", Actions(("Right",), "Jump")),
        ("Right || || Up", Actions(("Right",), "")),
        ("Right, Up", Actions((), "Right, Up")),
        ("x" * 1_000, Actions((), "x" * 40)),
    ],
)
def test_reading_stops_at_the_first_unknown_word(text: str, expected: Actions) -> None:
    assert read_actions(text, MOVES) == expected
    assert not expected.well_formed


def test_actions_beyond_the_limit_are_dropped_and_counted() -> None:
    actions = read_actions("Up||Up||Up", MOVES, max_actions=2)
    assert actions == Actions(("Up", "Up"), None, 1)
    assert not actions.well_formed


def test_case_and_separator_can_be_chosen() -> None:
    assert read_actions("Up, up", MOVES, separator=",", ignore_case=False) == Actions(("Up",), "up")

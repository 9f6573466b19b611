"""Every example on the page about parsing and scoring gives what is printed there."""

import doctest
import re

from nemo_gym import parsers, scoring
from tests.test_architecture import ROOT, modules_of

PAGE = ROOT / "docs" / "parsing-and-scoring.md"


def test_the_examples_give_what_is_printed() -> None:
    results = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert results.attempted > 20
    assert results.failed == 0


def test_the_page_names_every_module_of_both_rooms() -> None:
    named = set(re.findall(r"^\| `((?:parsers|scoring)\.\w+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    rooms = (parsers.__name__, scoring.__name__)
    modules = {name for room in rooms for name in modules_of(ROOT / room.replace(".", "/")) if name not in rooms}
    assert {f"nemo_gym.{name}" for name in named} == modules

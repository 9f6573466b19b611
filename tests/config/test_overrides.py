"""The override grammar: what an argument means, and that no text whatever makes it crash."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nemo_gym.config.overrides import Action, Override, parse_overrides


def parse(argument: str) -> Override:
    overrides, problems = parse_overrides([argument])
    assert not problems, str(problems[0])
    return overrides[0]


def problem(argument: str) -> str:
    overrides, problems = parse_overrides([argument])
    assert not overrides
    return str(problems[0])


@pytest.mark.parametrize(
    ("argument", "action", "key", "value"),
    [
        ("+a=1", Action.SET, "a", 1),
        ("++a.b=1.5", Action.SET, "a.b", 1.5),
        ("a-b.c_d=x", Action.CHANGE, "a-b.c_d", "x"),
        ("~a.b", Action.REMOVE, "a.b", None),
        ("~a.b=1", Action.REMOVE, "a.b", None),
        ("+a=", Action.SET, "a", ""),
        ("+a=null", Action.SET, "a", None),
        ("+a=true", Action.SET, "a", True),
        ("+a='true'", Action.SET, "a", "true"),
        ('+a="x, y = (z)"', Action.SET, "a", "x, y = (z)"),
        ("+a=two words", Action.SET, "a", "two words"),
        ("+a=1e-5", Action.SET, "a", 1e-5),
        ("+a=http://127.0.0.1:8000/v1", Action.SET, "a", "http://127.0.0.1:8000/v1"),
        ("+a=${b.c}", Action.SET, "a", "${b.c}"),
        ("+a=${oc.env:HOME,x}", Action.SET, "a", "${oc.env:HOME,x}"),
        ("+a=[x.yaml,y/z.yaml]", Action.SET, "a", ["x.yaml", "y/z.yaml"]),
        ("+a=[]", Action.SET, "a", []),
        ("+a={temperature: 0.5, stop: ['a b', c], n: {m: null}}", Action.SET, "a",
         {"temperature": 0.5, "stop": ["a b", "c"], "n": {"m": None}}),
        ('+a={"temperature": 0.5, "stop": ["a"], "on": true}', Action.SET, "a",
         {"temperature": 0.5, "stop": ["a"], "on": True}),
        ("+a=int('3')", Action.SET, "a", 3),
        ("+a.0.b=1", Action.SET, "a.0.b", 1),
    ],
)  # fmt: skip
def test_an_argument_is_read_with_its_type(argument, action, key, value):
    override = parse(argument)
    assert (override.action, override.key, override.value) == (action, key, value)
    assert type(override.value) is type(value)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--limit=5", "write `+limit=…`"),
        ("-n", "write `+n=…`"),
        ("file.yaml", "sets nothing"),
        ("=5", "a key is missing"),
        ("~", "a key is missing"),
        ("", "sets nothing"),
        ("+++a=1", "more signs than there are"),
        ("a/b=1", "no config groups"),
        ("a@b=1", "no packages"),
        ("+a[0]=1", "as in `a.b.0.c`"),
        ("+a..b=1", "empty part"),
        ("+ä=1", "letters, digits"),
        ('+a b={"c": 1}', "letters, digits"),
        ("+0a=1", "start with a letter"),
        ("+a=1,2", "put a list into brackets"),
        ("+a=choice(1,2)", "put a list into brackets"),
        ("+a=range(1,5)", "put a list into brackets"),
        ("+a=[1,2", "`[` and `]` do not match up"),
        ("+a={b: 1", "`{` and `}` do not match up"),
        ("+a='b", "the quote ' is not closed"),
        ("+a=http://x/?b=c", "holds `=`: put quotes"),
        ("+a=f(x)", "text needs quotes"),
    ],
)
def test_a_wrong_argument_is_explained(argument, words):
    assert words in problem(argument)


def test_all_wrong_arguments_are_reported_and_the_right_ones_kept():
    overrides, problems = parse_overrides(["+a=1", "--b", "+c=2", "d"])
    assert [override.key for override in overrides] == ["a", "c"]
    assert len(problems) == 2


def test_a_long_key_is_kept_whole():
    key = ".".join(["responses_api_agents"] * 10)
    assert parse(f"+{key}=1").key == parse(f'+{key}={{"a": 1}}').key == key


def test_the_typed_text_is_kept_beside_the_value():
    assert parse("+a=1e5").text == "1e5"
    assert parse("+a='007'").text == "007"


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("+~=abc.01[]{}(),:'\"\\$ #/@-\n\té"), max_size=25))
@example("+a={" * 50)
@example("+a=" + "[" * 400)
@example("+a=${" * 20)
@example("+a=\x00")
def test_no_text_makes_the_grammar_crash(argument):
    overrides, problems = parse_overrides([argument])
    assert len(overrides) + len(problems) == 1
    assert all("\n" not in str(each) for each in problems)


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
        lambda children: (
            st.lists(children, max_size=3) | st.dictionaries(st.text("ab c", min_size=1), children, max_size=3)
        ),
        max_leaves=6,
    ).filter(lambda value: isinstance(value, dict) and value)
)
def test_a_json_object_is_read_as_json(value):
    assert parse(f"+a={json.dumps(value)}").value == value

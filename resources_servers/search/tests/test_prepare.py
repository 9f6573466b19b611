import json
import random
from pathlib import Path
from typing import Any

import pytest

from resources_servers.search.bm25 import Bm25Index, Bm25Parameters
from resources_servers.search.corpus import Corpus
from resources_servers.search.knowledge import make_world
from resources_servers.search.prepare import main, passages

CORPUS = Path(__file__).parents[1] / "data" / "corpus" / "made_up_land.jsonl"


def rows_in(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_corpus_that_ships_is_the_one_that_is_made(tmp_path: Path) -> None:
    main(["--corpus", str(tmp_path / "corpus.jsonl"), "--output", str(tmp_path / "rows.jsonl")])
    assert (tmp_path / "corpus.jsonl").read_bytes() == CORPUS.read_bytes()


def test_searching_as_the_oracle_does_finds_what_answers_the_question() -> None:
    """Else its full reward would say nothing about the questions."""
    for num_passages in (400, 3000):
        world = make_world(num_passages, seed=0)
        texts = [passage["contents"] for passage in passages(world)]
        numbers = {entity.name: number for number, entity in enumerate(world.entities())}
        index = Bm25Index.build(texts, Bm25Parameters())
        for seed in range(300):
            question = world.question(random.Random(seed))
            for query, entity in zip(question.queries, question.path, strict=True):
                assert numbers[entity.name] in [number for number, _ in index.search(query, 3)], query
            assert any(answer in texts[numbers[question.path[-1].name]] for answer in question.answers), question.text


def test_every_thing_has_a_name_of_its_own() -> None:
    names = [entity.name for entity in make_world(5000, seed=3).entities()]
    assert len(set(names)) == len(names) == 5000


def test_a_larger_land_is_asked_about_with_its_own_corpus(tmp_path: Path) -> None:
    corpus, rows = tmp_path / "corpus.jsonl", tmp_path / "rows.jsonl"
    main(["--num-passages", "1000", "--corpus", str(corpus), "--num-rows", "40", "--output", str(rows)])
    titles = {Corpus(corpus).document(number)["contents"].split("\n")[0].strip('"') for number in range(1000)}
    assert {name for row in rows_in(rows) for name in row["evidence"]} <= titles


@pytest.mark.parametrize(
    ("form", "by_tool"), [("turns", [False, False]), ("tools", [True, True]), ("both", [False, True])]
)
def test_the_form_says_how_rows_search(tmp_path: Path, form: str, by_tool: list[bool]) -> None:
    main(["--form", form, "--num-rows", "2", "--output", str(tmp_path / "rows.jsonl")])
    assert ["tools" in row["responses_create_params"] for row in rows_in(tmp_path / "rows.jsonl")] == by_tool


SEARCH_R1 = {
    "id": "train_0",
    "question": "which river flows through salo?",
    "golden_answers": ["Orm"],
    "data_source": "nq",
    "prompt": [{"role": "user", "content": "Answer. Question: which river flows through salo?\n"}],
    "ability": "fact-reasoning",
    "reward_model": {"ground_truth": {"target": ["Orm"]}, "style": "rule"},
    "extra_info": {"index": 0, "split": "train"},
}
SKYRL = {
    "data_source": "searchR1_hotpotqa",
    "prompt": SEARCH_R1["prompt"],
    "env_class": "search",
    "reward_spec": {"ground_truth": {"target": ["Orm", "river Orm"]}, "method": "rule"},
}


def convert(tmp_path: Path, *lines: str, form: str = "both") -> list[dict[str, Any]]:
    (tmp_path / "public.jsonl").write_text("\n".join(lines), encoding="utf-8")
    main(["--form", form, "--input", str(tmp_path / "public.jsonl"), "--output", str(tmp_path / "rows.jsonl")])
    return rows_in(tmp_path / "rows.jsonl")


def test_public_rows_keep_prompt_source_and_answers(tmp_path: Path) -> None:
    first, second = convert(tmp_path, json.dumps(SEARCH_R1), json.dumps(SKYRL))
    assert first["responses_create_params"] == {"input": SEARCH_R1["prompt"]}
    assert (first["expected_answer"], first["data_source"]) == (["Orm"], "nq")
    assert second["expected_answer"] == ["Orm", "river Orm"]
    assert second["question"] == "which river flows through salo?"


def test_public_rows_can_be_asked_for_tool_calls(tmp_path: Path) -> None:
    [row] = convert(tmp_path, json.dumps(SEARCH_R1), form="tools")
    assert row["responses_create_params"]["tools"][0]["name"] == "search"
    assert row["responses_create_params"]["input"][0]["content"].endswith("Question: which river flows through salo?")


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "public.jsonl:2: no JSON"),
        ('{"question": "which?"}', "public.jsonl:2: the row has no answer"),
        ('{"golden_answers": ["Orm"]}', "public.jsonl:2: neither `question` nor `prompt`"),
        ('{"golden_answers": ["Orm"], "prompt": "which?"}', "public.jsonl:2: `prompt` is no list of messages"),
        ('{"question": "which?", "golden_answers": [5]}', "public.jsonl:2: golden_answers"),
    ],
)
def test_a_public_row_that_cannot_be_used_is_named_by_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, problem: str
) -> None:
    with pytest.raises(SystemExit):
        convert(tmp_path, json.dumps(SEARCH_R1), line)
    assert problem in capsys.readouterr().err
    assert not (tmp_path / "rows.jsonl").exists()

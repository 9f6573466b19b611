import json
from pathlib import Path

import pytest

from nemo_gym.errors import DataError
from resources_servers.search.corpus import Corpus


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "corpus.jsonl"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("end", ["", "\n"])
def test_passages_are_found_by_their_number_whatever_their_length(tmp_path: Path, end: str) -> None:
    contents = ['"Zürich"\nAm See.', "x" * 70_000, '"٣٤"\n"quoted"', "a"]
    lines = [
        json.dumps({"id": str(number), "contents": one}, ensure_ascii=False) for number, one in enumerate(contents)
    ]
    corpus = Corpus(write(tmp_path, "\n".join(lines) + end))
    assert len(corpus) == 4
    assert [corpus.document(number)["contents"] for number in (3, 1, 0, 2)] == [contents[i] for i in (3, 1, 0, 2)]
    assert list(corpus.texts()) == contents
    assert corpus.document(2)["id"] == "2"


def test_a_passage_in_two_parts_gets_its_contents_and_keeps_its_fields(tmp_path: Path) -> None:
    corpus = Corpus(write(tmp_path, '{"id": 7, "title": "Orm", "text": "A gulf.", "url": "x"}\n'))
    assert corpus.document(0) == {"id": 7, "title": "Orm", "text": "A gulf.", "url": "x", "contents": '"Orm"\nA gulf.'}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no passage"),
        ('{"contents": "a"}\n{"contents": "b"\n', "corpus.jsonl:2: no JSON"),
        ('["a"]\n', "corpus.jsonl:1: a passage is a JSON object"),
        ('{"contents": "a"}\n{"id": 1}\n', "corpus.jsonl:2: the passage has neither `contents` nor `text`"),
    ],
)
def test_a_file_that_is_no_corpus_is_refused_with_its_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        Corpus(write(tmp_path, text))


def test_a_passage_in_the_middle_that_is_none_is_named_when_it_is_read(tmp_path: Path) -> None:
    corpus = Corpus(write(tmp_path, '{"contents": "a"}\n{"broken\n{"contents": "c"}\n'))
    with pytest.raises(DataError, match=r"corpus\.jsonl:2: no JSON"):
        list(corpus.texts())
    with pytest.raises(DataError, match=r"none\.jsonl: the corpus cannot be read: No such file"):
        Corpus(tmp_path / "none.jsonl")

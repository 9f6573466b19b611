"""Long texts of the worst kind that is known for each parser: quadratic work on them would take many minutes."""

import subprocess
import sys

GENEROUS_DEADLINE_S = 120

PROGRAM = r"""
from nemo_gym.parsers.actions import read_actions
from nemo_gym.parsers.boxed import all_boxed
from nemo_gym.parsers.code_block import code_blocks
from nemo_gym.parsers.json_text import first_json_object, last_json_list, parse_json
from nemo_gym.parsers.numbers import hash_answers, last_number, literal_hash_answer, parse_number
from nemo_gym.parsers.tags import sequence_problem, tag_sequence, tagged_blocks
from nemo_gym.parsers.tool_calls import fenced_tool_calls, hermes_tool_calls
from nemo_gym.scoring.judge_text import labelled_verdict
from nemo_gym.scoring.multiple_choice import chosen_letter
from nemo_gym.scoring.text_match import exact_match, token_f1

PIECES = {
    "tags": ["<sql>", "</sql>", "<", "<sql><sql></sql>", "<a><sql>", "<sql></a>"],
    "numbers": ["1", "1,", "1,111", "1 / ", "1/", "1.", "-", "$", "#### ", "####\n", "1e", "#### 1 ", "%", "1 " ],
    "boxed": [r"\boxed{", "{", "}", r"\boxed{}", r"\boxed ", "\\", r"\boxed{{", r"\boxed{\boxed{}"],
    "json": ["{", "[", '{"', '["', "[{", '{"a":', '[{"a":', '"', "\\", "{ ", '{"a": "', "[]", "{}", "[1,", "}"],
    "code": ["`", "```", "```\n", "~~~", "```\n~~~\n", "\n", "    "],
    "calls": ["<tool_call>", "<tool_call>{", "</tool_call>", "```json\n", "<tool_call></tool_call>"],
    "actions": ["||", "Right||", "|", "x"],
    "scoring": ["the ", "a", "answer is ", "answer", " ", "(", "*", r"\boxed{\text{", "[[Y", "."],
}
READERS = {
    "tags": [lambda text: tagged_blocks(text, "sql", "a"), lambda text: sequence_problem(text, "sql", "a")],
    "numbers": [hash_answers, last_number, literal_hash_answer, parse_number],
    "boxed": [all_boxed],
    "json": [first_json_object, last_json_list],
    "code": [code_blocks],
    "calls": [hermes_tool_calls, fenced_tool_calls],
    "actions": [lambda text: read_actions(text, ["Right"], max_actions=4)],
    "scoring": [
        lambda text: exact_match(text, text + "x"), lambda text: token_f1(text, "the cat"), chosen_letter,
        lambda text: labelled_verdict({"[[YES]]": 1, "[[NO]]": 0})(text + "[[NO]]"),
    ],
}
for subject, pieces in PIECES.items():
    for piece in pieces:
        text = piece * (200_000 // len(piece))
        for read in READERS[subject]:
            read(text)
text = "<sql>" + "x" * 1_000_000 + "</sql>"
assert tag_sequence(text, "sql") is not None
for text in ("[" * 1_000_000, "[" * 1_000_000 + "]" * 1_000_000, "9" * 1_000_000):
    try:
        parse_json(text)
    except ValueError:
        pass
print("read")
"""


def test_long_adversarial_texts_are_read_by_every_parser() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=GENEROUS_DEADLINE_S, check=False
    )
    assert done.stdout.strip() == "read", done.stderr[-2_000:]

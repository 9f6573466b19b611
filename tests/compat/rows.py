"""Task rows for the servers under test; `canned_model` does what their prompts say."""

from __future__ import annotations

from typing import Any

from tests.rows import row_asking

ROWS: dict[str, list[tuple[dict[str, Any], float]]] = {
    "weather_lookup": [
        (row_asking('CALL get_weather {"city": "Oslo"}', ("get_weather",), city="Oslo"), 1.0),
        (row_asking('CALL get_weather {"city": "Rome"}', ("get_weather",), city="Oslo"), 0.0),
    ],
    "sticky_counter": [
        (
            row_asking(
                'CALL increment {"count": 2} CALL increment {"count": 3} CALL get_count {}',
                ("increment", "get_count"),
                initial_count=4,
                expected_count=9,
            ),
            1.0,
        )
    ],
    "sticky_counter_by_tens": [
        (row_asking('CALL increment {"count": 2}', ("increment",), initial_count=4, expected_count=24), 1.0)
    ],
    "answer_judge": [
        (row_asking("SAY four", expected_answer="four"), 1.0),
        (row_asking("SAY five", expected_answer="four"), 0.0),
    ],
    "graded_essay": [(row_asking("SAY It rains all day.", topic="rain"), 0.7)],
    "office_tools": [
        (
            row_asking(
                'CALL send_email {"to": "ann", "text": "hi"}', ("send_email",), ground_truth={"ann": ["hi"]}, id=7
            ),
            1.0,
        )
    ],
    "quiz_metrics": [
        (row_asking("SAY answer: 4", expected_answer="4", subject="maths"), 1.0),
        (row_asking("SAY answer: 5", expected_answer="4", subject="maths"), 0.0),
    ],
    "word_sorter": [
        (row_asking("SAY a b c", words=["b", "c", "a"]), 1.0),
        (row_asking("SAY b c a", words=["b", "c", "a"]), 0.0),
    ],
    "two_part_reward": [(row_asking("SAY fog is a word", ("lookup",), keyword="fog"), 1.0)],
    "turtle_env": [(row_asking("", task_idx=3), 1.0)],
}
"""By resources server: rows and the reward that each is to get."""

import pytest

from nemo_gym.parsers.code_block import CodeBlock, code_blocks, last_code_block, only_code_block

TWO = "First:\n```bash\nls -l\n```\nthen\n```SQL title\nSELECT 1\n\n-- done\n```\n"


def test_blocks_are_found_with_their_language() -> None:
    assert code_blocks(TWO) == [CodeBlock("bash", "ls -l"), CodeBlock("sql", "SELECT 1\n\n-- done")]
    assert code_blocks(TWO, "bash", "sh") == [CodeBlock("bash", "ls -l")]
    assert code_blocks("```\nx\n```", "") == [CodeBlock("", "x")]


def test_last_and_only_differ_where_there_are_two() -> None:
    assert last_code_block(TWO) == "SELECT 1\n\n-- done"
    assert only_code_block(TWO) is None
    assert only_code_block(TWO, "bash") == "ls -l"
    assert last_code_block(TWO, "python") is None
    assert only_code_block(TWO, "python") is None


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("```bash\nls", []),
        ("```bash ls```", []),
        ("``\nls\n``", []),
        ("    ```\nls\n    ```", []),
        ("```\n```", [""]),
        ("   ~~~\nls\n~~~", ["ls"]),
        ("```\r\nls\r\n```\r\n", ["ls"]),
        ("````md\n```\nls\n```\n````", ["```\nls\n```"]),
        ("```\nls\n~~~\n```", ["ls\n~~~"]),
        ("```\nls\n`````", ["ls"]),
        ("```a\n```b\n```", ["```b"]),
        ("", []),
    ],
)
def test_fences_stand_on_lines_of_their_own_and_match(text: str, codes: list[str]) -> None:
    assert [block.code for block in code_blocks(text)] == codes

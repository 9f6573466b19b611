import pytest

from resources_servers.mini_swe.command import MAX_COMMAND_BYTES, FormatError, find_command


def test_the_only_bash_block_is_the_command_whatever_stands_around_it() -> None:
    assert find_command("I look.\n\n```bash\nls -R\n```\nand then?") == "ls -R"
    assert find_command("```bash\ncat <<'EOF' > a\nx\n\ny\nEOF\n```") == "cat <<'EOF' > a\nx\n\ny\nEOF"
    assert find_command("```python\nprint(1)\n```\n```bash\nls\n```") == "ls"


def test_a_longer_fence_lets_a_command_hold_fences_of_its_own() -> None:
    assert find_command("````bash\ncat <<'EOF' > a.md\n```bash\nls\n```\nEOF\n````") == (
        "cat <<'EOF' > a.md\n```bash\nls\n```\nEOF"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no such block"),
        ("```bash\nls", "no such block"),
        ("```sh\nls\n```", "no such block"),
        ("`bash ls`", "no such block"),
        ("```bash\nls\n```\n```bash\npwd\n```", "2 of them"),
        ("```bash\n \n```", "empty"),
        ("```bash\n```", "empty"),
        ("```bash\n" + "é" * (MAX_COMMAND_BYTES // 2 + 1) + "\n```", "100,002 bytes"),
        ("```bash\necho \0\n```", "NUL"),
    ],
)
def test_anything_else_is_told_to_the_policy_in_a_sentence(text: str, told: str) -> None:
    found = find_command(text)
    assert isinstance(found, FormatError) and told in found.text

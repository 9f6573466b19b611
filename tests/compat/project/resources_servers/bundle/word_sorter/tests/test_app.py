"""Unit tests of word_sorter, in the style of its neighbours: run in its own folder."""

from unittest.mock import MagicMock

from app import WordSorterServer
from schemas import SortRequest, WordSorterConfig
from utils import is_sorted

from nemo_gym.server_utils import ServerClient


class TestApp:
    def test_is_sorted(self) -> None:
        assert is_sorted(["a", "b"], reverse=False) and not is_sorted(["a", "b"], reverse=True)

    async def test_tool(self) -> None:
        config = WordSorterConfig(host="0.0.0.0", port=8080, entrypoint="", name="", reverse=True)
        server = WordSorterServer(config=config, server_client=MagicMock(spec=ServerClient))
        assert await server.sort_words(SortRequest(words=["b", "c", "a"])) == "c b a"

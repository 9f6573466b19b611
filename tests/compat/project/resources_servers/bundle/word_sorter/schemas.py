"""Bodies and configuration of word_sorter."""

from pydantic import BaseModel

from nemo_gym.base_resources_server import BaseResourcesServerConfig, BaseVerifyRequest


class WordSorterConfig(BaseResourcesServerConfig):
    reverse: bool = False


class SortRequest(BaseModel):
    words: list[str]


class SortVerifyRequest(BaseVerifyRequest):
    words: list[str]

"""The pages agree with each other and with the code: links, index, rooms, keys of servers, reference."""

from __future__ import annotations

import importlib.util
import re
import warnings
from pathlib import Path

import pytest

from nemo_gym.base_resources_server import BaseResourcesServerConfig
from nemo_gym.config_types import BaseServerConfig
from nemo_gym.serving.loading import load_server_class
from tests.test_architecture import COMPONENTS, FLOORS, ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
WITH_TABLES = [folder for folder in COMPONENTS if folder.parent.name != "resources_servers"]
COMPONENT_READMES = [folder / "README.md" for folder in COMPONENTS]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *PAGES, *COMPONENT_READMES]

_CODE_BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_LISTED = re.compile(r"^\| \[[^\]]+\]\((\S+)\) \| ", re.MULTILINE)
_KEY_TABLE = re.compile(r"^\| key \| default \|.*\n\|[-|]+\n((?:\|.*\n?)+)", re.MULTILINE)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors_of(page: Path) -> set[str]:
    """Headings as they are linked to: small letters, `-` for spaces, other signs left out."""
    headings = re.findall(r"^#+ (.*)$", _CODE_BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def listed_on(page: Path) -> list[Path]:
    """What a page's tables of pages link to, in order."""
    return [(page.parent / target).resolve() for target in _LISTED.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=relative)
def test_every_link_leads_somewhere(document: Path) -> None:
    dead = []
    for link in _LINK.findall(_CODE_BLOCK.sub("", document.read_text(encoding="utf-8"))):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = (document.parent / path).resolve() if path else document
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            dead.append(link)
    assert dead == []


def test_every_page_is_in_the_index() -> None:
    index = DOCS / "index.md"
    assert set(PAGES) - {index} <= set(listed_on(index))


def test_the_readme_lists_the_same_pages_in_the_same_order_as_the_index() -> None:
    assert listed_on(ROOT / "README.md") == listed_on(DOCS / "index.md")


def test_the_architecture_page_names_the_rooms_in_the_order_of_the_floors() -> None:
    rows = re.findall(r"^\| (`.*?) \| ", (DOCS / "architecture.md").read_text(encoding="utf-8"), re.MULTILINE)
    rooms = [room for row in rows for room in re.findall(r"`(\w+)/?`", row)]
    assert rooms == FLOORS


def keys_named(document: Path) -> list[str]:
    """Keys in the tables `| key | default | …` of a page; of `faults.rates` the first part."""
    tables = _KEY_TABLE.findall(document.read_text(encoding="utf-8"))
    cells = [row.split("|")[1] for table in tables for row in table.splitlines()]
    return [key.split(".")[0] for cell in cells for key in re.findall(r"`([\w.]+)`", cell)]


@pytest.mark.parametrize("folder", COMPONENTS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_a_component_takes_every_key_that_its_readme_names(folder: Path) -> None:
    known = load_server_class(folder, "app.py").model_fields["config"].annotation.model_fields
    assert [key for key in keys_named(folder / "README.md") if key not in known] == []


@pytest.mark.parametrize("folder", WITH_TABLES, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def test_every_key_of_a_model_server_or_agent_is_in_its_readme_or_on_a_page_it_links_to(folder: Path) -> None:
    known = load_server_class(folder, "app.py").model_fields["config"].annotation.model_fields
    readme = folder / "README.md"
    links = [link.partition("#")[0] for link in _LINK.findall(readme.read_text(encoding="utf-8"))]
    linked = [(folder / link).resolve() for link in links if link.endswith(".md")]
    documented = {key for page in (readme, DOCS / "model-servers.md", *linked) for key in keys_named(page)}
    assert known.keys() - BaseServerConfig.model_fields.keys() - documented == set()


def test_every_key_that_all_servers_take_is_on_the_page_of_configuration() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    keys = BaseResourcesServerConfig.model_fields.keys() - {"name"}
    assert [key for key in sorted(keys) if f"`{key}`" not in page] == []


def test_the_reference_is_written_from_docstrings(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("reference", DOCS / "reference.py")
    assert spec is not None and spec.loader is not None
    reference = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(reference)
    modules = ("nemo_gym.config_types", "nemo_gym.rollouts.collection_helper")
    assert set(modules) <= set(reference.PUBLIC)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        reference.write_reference(tmp_path, modules)
    assert (tmp_path / "index.html").exists()
    page = (tmp_path / "nemo_gym" / "config_types.html").read_text(encoding="utf-8")
    assert "Idle seconds after which a session" in page, "docs under fields are shown"
    assert "run_examples" in (tmp_path / "nemo_gym" / "rollouts" / "collection_helper.html").read_text(encoding="utf-8")


def test_every_public_module_of_the_reference_is_there() -> None:
    listed = re.findall(r'^    "(nemo_gym[\w.]+)",$', (DOCS / "reference.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert listed and [name for name in listed if importlib.util.find_spec(name) is None] == []

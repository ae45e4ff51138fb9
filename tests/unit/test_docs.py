"""The documentation says what is so: its settings, links, files, commands, options and routes."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from fastapi.routing import APIRoute
from packaging.requirements import Requirement

from tests.support.commands import SERVERS, check_command, commands_in
from tests.support.installed import missing
from tests.support.markdown import ROOT, Block, Page
from tests.support.pages import FOLLOWED, REASONS, RUNNABLE, reason_not_run
from tools.routes_doc import main as routes_doc
from tools.settings_doc import main as settings_doc
from xinfer.api.app import create_app
from xinfer.core.gateway import Control, Gateway, RoutingTable
from xinfer.deploy import config_check
from xinfer.deploy.cli.terminal import HELP
from xinfer.model.engine import BUILTIN, find_engine
from xinfer.model.vllm.installed import with_installed
from xinfer.settings import Settings

PATHS = ["README.md", "README_zh.md", "CONTRIBUTING.md"]
PATHS += [str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [Page.read(path) for path in PATHS]
each_page = pytest.mark.parametrize("page", PAGES, ids=PATHS)

TINY_CHAT = ROOT / "xinfer/model/catalog/weights/tiny-chat/tiny-chat-f16.gguf"
KNOWN_LANGUAGES = {*RUNNABLE, "ini", "json", "nginx", "text", "toml", "yaml", ""}
"""Without a language are drawings."""
OPERATORS = {"|", "&&", "||", ";", "&"}


def test_the_page_of_settings_is_current() -> None:
    assert settings_doc(["--check"]) == 0, "run python -m tools.settings_doc"


def test_the_page_of_routes_is_current() -> None:
    assert routes_doc(["--check"]) == 0, "run python -m tools.routes_doc"


@each_page
def test_commands_and_programs_are_run_or_say_why_not(page: Page) -> None:
    """Those that are run are, by tests/pages."""
    assert page.text.count("```") == 2 * len(page.blocks), "a block that is not found"
    for block in page.blocks:
        assert block.language in KNOWN_LANGUAGES, block.code
        assert not block.tested or page in FOLLOWED or page.path.name == "README_zh.md"
        if block.language in RUNNABLE and not block.tested:
            assert reason_not_run(block) in REASONS, block.code
        else:
            assert reason_not_run(block) is None, block.code
            assert block.language in RUNNABLE or not block.tested, block.code


def test_what_pages_have_pip_install_is_looked_up() -> None:
    assert not list(missing(Requirement("xinfer")))
    assert list(missing(Requirement("no-such-package"))) == ["no-such-package"]
    assert list(missing(Requirement("pytest<1"))) == [f"pytest is {pytest.__version__}"]
    with pytest.raises(SystemExit, match="xinfer has no extra audoi"):
        list(missing(Requirement("xinfer[audoi]")))


def test_no_reason_outlives_its_last_block() -> None:
    given = {reason_not_run(block) for page in PAGES for block in page.blocks}
    assert set(REASONS) <= given


@each_page
def test_links_lead_somewhere(page: Page) -> None:
    for link in page.links:
        target, _, anchor = link.partition("#")
        if target.startswith(("http://", "https://")):
            continue
        path = (ROOT / page.path).parent / target if target else ROOT / page.path
        assert path.exists(), link
        if anchor:
            assert anchor in Page.read(path.resolve().relative_to(ROOT)).anchors, link


@each_page
def test_files_that_are_named_exist(page: Page) -> None:
    tops = {path.name for path in ROOT.iterdir() if path.is_dir()}
    for span in page.code_spans:
        if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", span) and span.partition("/")[0] in tops:
            assert (ROOT / span).exists(), span


@each_page
def test_variables_that_are_named_are_settings(page: Page) -> None:
    known = {field.metadata["env"] for field in Settings.__dataclass_fields__.values()}
    named = set(re.findall(r"XINFERENCE_[A-Z_]+", page.text))
    assert named <= known


@each_page
def test_commands_exist_with_the_flags_shown(page: Page) -> None:
    for words in commands(page):
        check_command(words)


@each_page
def test_files_for_other_programs_are_what_those_read(page: Page) -> None:
    for block in page.blocks:
        if block.language == "ini":
            unit = configparser.ConfigParser(strict=True, interpolation=None)
            unit.optionxform = str  # type: ignore[assignment]
            unit.read_string(block.code)
            started = shlex.split(unit["Service"]["ExecStart"])
            check_command([Path(started[0]).name, *started[1:]])
        for document in yaml.safe_load_all(block.code) if block.language == "yaml" else ():
            assert isinstance(document, dict), block.code
            for command in commands_in(document):
                check_command(command)


@each_page
def test_files_of_declared_models_are_right(page: Page, tmp_path: Path) -> None:
    for block in page.blocks:
        if block.language == "yaml" and re.search(r"^models:$", block.code, re.MULTILINE):
            (tmp_path / "models.yaml").write_text(block.code)
            for path in re.findall(r"model_path: (.+)", block.code):
                (tmp_path / path).parent.mkdir(exist_ok=True)
                shutil.copy(TINY_CHAT, tmp_path / path)
            assert config_check.read_file(str(tmp_path / "models.yaml"))


@each_page
def test_routes_that_are_named_exist(page: Page) -> None:
    routes = _routes() | set(re.findall(r"^  (/\w+)", HELP, re.MULTILINE))
    for span in page.code_spans:
        path = span.partition(" ")[2] if span.startswith("GET ") else span
        if re.fullmatch(r"/[\w/{}.]*", path):
            assert path in routes, span


def test_options_of_engines_are_all_described() -> None:
    """Engines that share a section's heading share its table, of which each has its part."""
    sections = Page.read("docs/engines.md").prose.split("\n## ")
    for name in BUILTIN:
        alike = [one for one in sections if name in one.partition("\n")[0].split(", ")]
        assert len(alike) == 1, name
        table = alike[0].partition("| Option |")[2].partition("\n\n")[0]
        described = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
        options = {one: described_options(one) for one in alike[0].partition("\n")[0].split(", ")}
        assert [option for option in described if option in options[name]] == list(options[name])
        assert set(described) == set().union(*options.values()), name


def described_options(engine: str) -> list[str]:
    """Those on vLLM have more, by the names of the vLLM that is installed."""
    kind = find_engine(engine)[1].options()
    own = next(one for one in kind.__mro__ if one.__module__ != with_installed.__module__)
    return list(own.__struct_fields__)


def test_both_readmes_show_the_same_blocks_in_the_same_order() -> None:
    english, chinese = Page.read("README.md"), Page.read("README_zh.md")
    assert chinese.blocks == english.blocks
    for mark in ("\n#", "\n| ", "\n- "):
        assert chinese.prose.count(mark) == english.prose.count(mark), mark


def commands(page: Page) -> Iterator[list[str]]:
    """Every command of xinfer's on the page, in blocks and in the text, as words."""
    shell = [block.code for block in page.blocks if block.language == "bash"]
    for text in [*shell, *page.code_spans]:
        for line in text.replace("\\\n", " ").splitlines():
            words: list[str] = []
            for word in [*_words(line), ";"]:
                if word not in OPERATORS:
                    words.append(word)
                    continue
                while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                    del words[0]
                if words and words[0] in ("xinference", "make", *SERVERS):
                    yield words
                words = []


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # not shell, such as a sentence with an apostrophe
        return []


def _routes() -> set[str]:
    table, settings = RoutingTable(), Settings()
    control = Control("unix:/nowhere", b"", table, settings)
    app = create_app(Gateway(table, settings), control, settings)
    paths = {route.path for route in app.routes if isinstance(route, APIRoute)}
    return {path.replace(":path", "") for path in paths} | {"/openapi.json"}


@pytest.mark.parametrize(
    "words",
    [
        ["make", "coffee"],
        ["make", "bench", "COFFEE=1"],
        ["xinference", "lunch"],
        ["xinference", "list", "--colour"],
        ["xinference", "launch", "-n", "echo", "--no-such-option", "1"],
    ],
)
def test_the_check_of_commands_finds_wrong_ones(words: list[str]) -> None:
    with pytest.raises(AssertionError):
        check_command(words)


def test_blocks_links_and_anchors_are_found() -> None:
    page = Page(
        Path("a.md"),
        "# One, two\n\n[x](b.md#c) `code`\n\n<!-- test: 3 -->\n```bash\n# no heading\n```\n",
    )
    assert page.blocks == [Block("bash", "# no heading\n", tested=True, expected="3")]
    assert (page.links, page.code_spans, page.anchors) == (["b.md#c"], ["code"], {"one-two"})

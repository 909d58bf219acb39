"""A configuration that changes while the run is in progress."""

from pathlib import Path

import pytest
import yaml

from streamseg.cli.reload import Reloader
from streamseg.config import load_config
from streamseg.pipeline import Pipeline
from streamseg.runtime import Runtime
from streamseg.runtime.operations import control_operations
from streamseg.runtime.source_manager import SourceManager
from tests.support.runs import BackgroundRun
from tests.support.stages import ListSink, ScriptedSource, SquareSegmenter

pytestmark = pytest.mark.usefixtures("no_thread_left")


def open_source(section):
    return ScriptedSource(section.id, is_live=True, paced_seconds=0.005)


class Site:
    """A run in progress whose configuration is in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(sources=[{"type": "scene", "id": "a"}, {"type": "scene", "id": "b"}])
        config = load_config(path)
        sections = config.named_sources()
        self.sink = ListSink()
        self.runtime = Runtime([open_source(one) for one in sections], Pipeline(SquareSegmenter()), [self.sink])
        manager = SourceManager(self.runtime, sections, open_source)
        self.operations = control_operations(self.runtime)
        self.reloader = Reloader(manager, self.operations, config, lambda: load_config(path))
        self.run = BackgroundRun(self.runtime)
        self.sink.wait_for(1)

    def write(self, **sections: object) -> None:
        self.path.write_text(yaml.safe_dump(sections))

    def reload(self) -> None:
        self.reloader.request()
        self.reloader.poll()

    @property
    def prompt_ids(self) -> list[str]:
        return [prompt.prompt_id for prompt in self.runtime.pipeline.prompts]


@pytest.fixture
def site(tmp_path: Path):
    site = Site(tmp_path / "config.yaml")
    yield site
    site.runtime.stop()
    site.run.join()
    assert site.run.error is None


A, B, C = ({"type": "scene", "id": name} for name in "abc")


@pytest.mark.parametrize(
    ("sections", "log", "source_ids", "prompt_ids"),
    [
        pytest.param({"sources": [A, B]}, "nothing has changed", "ab", ["everything"], id="nothing"),
        pytest.param({"sources": [A, B, C]}, "added c", "abc", ["everything"], id="one-source-more"),
        pytest.param({"sources": [B]}, "removed a", "b", ["everything"], id="one-source-less"),
        pytest.param({"sources": [{**A, "seed": 5}, B]}, "changed a", "ab", ["everything"], id="another-seed"),
        pytest.param(
            {"sources": [A, B], "prompts": [{"id": "cup", "points": [[5, 5]]}]},
            "prompt cup, prompt everything removed", "ab", ["cup"], id="prompts",
        ),
        pytest.param(
            {"sources": [A, B, C], "segmentation": {"conf": 0.9}, "publish": {"jpeg_quality": 9}},
            "added c, segmentation needs a restart, publish needs a restart", "abc", ["everything"], id="restart",
        ),
    ],
)  # fmt: skip
def test_only_what_changed_is_touched(site: Site, caplog, sections, log, source_ids, prompt_ids):
    untouched = site.runtime._sources.get("b")
    site.write(**sections)
    site.reload()
    assert caplog.records[-1].getMessage() == f"the configuration was reloaded: {log}"
    assert "".join(sorted(site.runtime.source_ids)) == source_ids
    assert site.prompt_ids == prompt_ids
    assert site.runtime._sources.get("b") is untouched
    site.reload()
    assert caplog.records[-1].getMessage().endswith(("nothing has changed", "needs a restart"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("sources: [{type: scene, idd: a}]", "sources.0.idd: unknown key", id="unknown-key"),
        pytest.param("sources: [", "line", id="no-yaml"),
        pytest.param("sources: []", "sources: ", id="no-source"),
        pytest.param(None, "no such file|does not exist|cannot", id="file-is-gone"),
    ],
)
def test_invalid_configuration_changes_nothing(site: Site, caplog, text, message):
    site.path.unlink() if text is None else site.path.write_text(text)
    site.reload()
    record = caplog.records[-1]
    assert record.levelname == "ERROR"
    assert record.getMessage().startswith("the configuration was not reloaded: ")
    assert "\n" not in record.getMessage()
    assert site.runtime.source_ids == ("a", "b")
    site.write(sources=[A, C])
    site.reload()
    assert set(site.runtime.source_ids) == {"a", "c"}, "the next one is applied"


def test_prompts_of_the_control_channel_are_untouched(site: Site):
    site.operations["prompts.set"]({"prompts": [{"id": "mine", "points": [[3, 3]]}]})
    site.write(sources=[A, B], prompts=[{"id": "cup", "points": [[5, 5]]}])
    site.reload()
    assert site.prompt_ids == ["mine", "cup"]


def test_nothing_happens_without_a_request(site: Site, caplog):
    site.write(sources=[A, B, C])
    site.reloader.poll()
    assert site.runtime.source_ids == ("a", "b")
    assert caplog.records == []

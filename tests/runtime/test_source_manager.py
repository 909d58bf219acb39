"""Sources that are changed by their sections, without threads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamseg.config import SceneSource, StreamSource, parse_source_section
from streamseg.errors import ConfigError, DataError, SourceError, StreamsegError
from streamseg.runtime.deadlines import SourceLimits
from streamseg.runtime.source_manager import MAX_SOURCES, SourceManager
from streamseg.runtime.source_operations import source_operations
from streamseg.structures.source_status import SourceStatus
from tests.support.stages import ScriptedSource


class ListedRun:
    """Records the changes of its sources."""

    def __init__(self):
        self.changes = []

    def add_source(self, source, limits):
        self.limits = limits
        self.changes.append(f"+{source.source_id}")

    def remove_source(self, source_id):
        self.changes.append(f"-{source_id}")

    def replace_source(self, source, limits):
        self.limits = limits
        self.changes.append(f"~{source.source_id}")

    def source_statuses(self):
        return {"a": SourceStatus("waiting", 2.5, "no connection")}


def open_source(section):
    if isinstance(section, StreamSource) and section.url == "missing.mp4":
        raise SourceError("missing.mp4 does not exist")
    return ScriptedSource(section.id)


def scene(source_id="", seed=0):
    return SceneSource(id=source_id, seed=seed)


def manager(*sections):
    run = ListedRun()
    return SourceManager(run, sections, open_source), run


PASSWORD = "open-sesame"
CAMERA = {"type": "stream", "id": "door", "url": f"rtsp://admin:{PASSWORD}@camera/1"}


class TestOperations:
    def call(self, name, args, *sections):
        sources, run = manager(*(sections or (scene("a"),)))
        return source_operations(sources)[name](args), run.changes

    def test_list_is_the_sections_with_their_states(self):
        listed, _ = self.call("sources.list", {}, scene("a"), StreamSource(**CAMERA))
        first, second = listed["sources"]
        assert first["type"] == "scene"
        assert (first["state"], first["state_seconds"], first["error"]) == ("waiting", 2.5, "no connection")
        assert second["url"] == "rtsp://***@camera/1"
        assert PASSWORD not in str(listed)

    def test_error_of_the_system_is_one_of_the_section(self):
        def fail(section):
            raise OSError(36, "File name too long", "é" * 2000)

        sources = SourceManager(ListedRun(), [scene("a")], fail)
        with pytest.raises(StreamsegError, match=r"'x' cannot be opened: File name too long$"):
            source_operations(sources)["sources.add"]({"type": "scene", "id": "x"})

    def test_types_are_the_keys_of_sections(self):
        listed, changes = self.call("sources.types", {})
        assert {field["key"] for field in listed["types"]["stream"]} >= {"url", "transport", "id", "deadline_ms"}
        assert changes == []

    @pytest.mark.parametrize(
        ("name", "args", "result", "changes"),
        [
            pytest.param("sources.add", CAMERA, {"id": "door"}, ["+door"], id="add"),
            pytest.param("sources.add", {"type": "scene"}, {"id": "scene0"}, ["+scene0"], id="add-without-an-id"),
            pytest.param("sources.remove", {"id": "a"}, {"id": "a"}, ["-a"], id="remove"),
            pytest.param("sources.restart", {"id": "a"}, {"id": "a"}, ["~a"], id="restart"),
        ],
    )
    def test_change(self, name, args, result, changes):
        assert self.call(name, args) == (result, changes)

    @pytest.mark.parametrize(
        ("name", "args", "message"),
        [
            pytest.param("sources.list", {"x": 1}, "unknown argument 'x'", id="list-argument"),
            pytest.param("sources.types", {"x": 1}, "unknown argument 'x'", id="types-argument"),
            pytest.param("sources.add", {}, "source: .*type", id="no-type"),
            pytest.param("sources.add", {"type": "camera"}, "source: .*'camera'", id="unknown-type"),
            pytest.param("sources.add", {"type": "stream"}, "source: url: Field required", id="no-url"),
            pytest.param(
                "sources.add",
                {**CAMERA, "urll": "x"},
                "source: urll: unknown key; did you mean 'url'",
                id="unknown-key",
            ),
            pytest.param(
                "sources.add", {**CAMERA, "id": "a b"}, "source: id: Use 1 to 64 letters.*, got 'a b'", id="invalid-id"
            ),
            pytest.param(
                "sources.add", {**CAMERA, "frame_id": "x" * 257}, "source: frame_id: .*256", id="long-frame-id"
            ),
            # It would fail in the publisher, which encodes messages as UTF-8.
            pytest.param("sources.add", {**CAMERA, "frame_id": "\ud800"}, "source: frame_id: ", id="surrogate"),
            pytest.param("sources.add", {**CAMERA, "url": "x" * 5000}, "source: url: .*4096", id="long-address"),
            pytest.param("sources.add", {**CAMERA, "id": "a"}, "there is a source 'a'; choose", id="used-id"),
            pytest.param("sources.add", {"type": "stream", "url": "missing.mp4"}, "does not exist", id="no-file"),
            pytest.param("sources.remove", {}, "\"id\" must be the id of a source, got 'None'", id="no-id"),
            pytest.param("sources.remove", {"id": ["a"]}, '"id" must be', id="list-as-id"),
            pytest.param("sources.remove", {"id": "x"}, "no source 'x'; sources are a", id="unknown-id"),
            pytest.param("sources.restart", {"id": "x"}, "no source 'x'", id="restart-unknown"),
            pytest.param("sources.restart", {"id": "a", "now": 1}, "unknown argument 'now'", id="restart-argument"),
        ],
    )
    def test_mistake(self, name, args, message):
        sources, run = manager(scene("a"))
        with pytest.raises(StreamsegError, match=message) as raised:
            source_operations(sources)[name](args)
        assert run.changes == []
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize(
        "url",
        [
            pytest.param(f"rtsp://admin:{PASSWORD}#1@camera/1", id="unencoded-password"),
            pytest.param(f"rtsp://admin:{PASSWORD}@", id="no-host"),
            pytest.param(f"rtsp://admin:{PASSWORD}@camera:99999/1", id="port"),
        ],
    )
    def test_mistake_in_an_address_does_not_show_its_password(self, url):
        with pytest.raises(ConfigError) as raised:
            parse_source_section({"type": "stream", "url": url})
        assert PASSWORD not in str(raised.value)
        assert raised.value.__context__ is None


@pytest.mark.parametrize(
    ("values", "limits"),
    [
        pytest.param({}, SourceLimits(), id="none"),
        pytest.param({"deadline_ms": 250}, SourceLimits(deadline_ns=250_000_000), id="deadline"),
        pytest.param({"max_fps": 10, "weight": 3}, SourceLimits(min_period_ns=100_000_000, weight=3), id="rate-weight"),
    ],
)
def test_limits_of_a_section_reach_the_run(values, limits):
    sources, run = manager(scene("a"))
    sources.add(parse_source_section({"type": "scene", **values}))
    assert run.limits == limits


def test_number_of_sources_is_limited():
    sources, _ = manager(*(scene(f"s{n}") for n in range(MAX_SOURCES)))
    with pytest.raises(DataError, match="at most 256 sources"):
        sources.add(scene())


def test_every_listed_source_has_its_state_while_others_change():
    """Bug: a source that was added between the reading of sections and of states had none."""
    sources, run = manager(scene("a"))
    locked = []
    run.source_statuses = lambda: locked.append(sources._lock.locked()) or {"a": SourceStatus("live")}
    sources.as_json()
    assert locked == [True]


def test_removed_source_can_be_added_again():
    sources, run = manager(scene("a"), scene("b"))
    sources.remove("b")
    assert sources.add(scene("b")) == "b"
    assert run.changes == ["-b", "+b"]


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        pytest.param([scene("a")], [scene("a")], [], id="nothing"),
        pytest.param([scene("a")], [scene("a"), scene("b")], ["+b"], id="one-more"),
        pytest.param([scene("a"), scene("b")], [scene("b")], ["-a"], id="one-less"),
        pytest.param([scene("a", 1)], [scene("a", 2)], ["~a"], id="changed"),
        pytest.param([scene("a", 1), scene("b")], [scene("b"), scene("a", 1)], [], id="other-order"),
        pytest.param([scene("a")], [scene("b")], ["+b", "-a"], id="all-others: never without a source"),
        pytest.param([scene("scene0", 1), scene("scene1", 2)], [scene("", 2)], ["-scene0"], id="equal-keeps-its-id"),
        pytest.param([scene("scene0", 1)], [scene("", 2), scene("", 1)], ["+scene1"], id="inserted-before"),
        pytest.param([scene("scene0", 1)], [scene("", 2)], ["~scene0"], id="changed-without-an-id"),
    ],
)
def test_reloaded_sections(before, after, changes):
    sources, run = manager(*before)
    assert len(sources.apply(after)) == len(changes)
    assert run.changes == changes
    assert sources.apply(after) == [], "the same again changes nothing"


def test_sources_of_the_control_channel_survive_a_reload():
    sources, run = manager(scene("a"))
    sources.add(scene("guest"))
    assert sources.apply([scene("b")]) == ["added b", "removed a"]
    assert run.changes == ["+guest", "+b", "-a"]


@pytest.mark.parametrize(
    ("after", "message"),
    [
        pytest.param([scene("b"), scene("guest", 5)], "'guest' was added by the control channel", id="id-in-use"),
        pytest.param([scene("b"), StreamSource(url="missing.mp4")], "does not exist", id="missing-file"),
        pytest.param([scene(f"s{n}") for n in range(MAX_SOURCES)], "at most 256", id="too-many"),
    ],
)
def test_impossible_reload_changes_nothing(after, message):
    sources, run = manager(scene("a"))
    sources.add(scene("guest"))
    with pytest.raises(StreamsegError, match=message):
        sources.apply(after)
    assert run.changes == ["+guest"]


SECTIONS = st.lists(st.integers(0, 3), min_size=1, max_size=6).map(lambda seeds: [scene("", seed) for seed in seeds])


@given(SECTIONS, SECTIONS)
def test_any_reload_ends_with_the_given_sections_and_touches_no_equal_one(before, after):
    named = [section.model_copy(update={"id": f"scene{place}"}) for place, section in enumerate(before)]
    sources, run = manager(*named)
    sources.apply(after)
    seeds = sorted(one["seed"] for one in sources.as_json())
    assert seeds == sorted(section.seed for section in after)
    kept = sum(
        min([section.seed for section in before].count(seed), [section.seed for section in after].count(seed))
        for seed in range(4)
    )
    num_touched = sum(change[0] in "+~" for change in run.changes)
    assert num_touched == len(after) - kept

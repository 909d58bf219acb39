"""YAML in which nothing is lost."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from streamseg.cli.training_settings import training_settings
from streamseg.config import load_config, parse_source
from streamseg.config.yaml_text import parse_yaml, parse_yaml_value
from streamseg.errors import ConfigError
from streamseg.training.recipe import load_recipe

REPEATED = "segmentation:\n  conf: 0.4\nsegmentation:\n  iou: 0.5\n"
CUT = "sources:\n  - type: stream\n    id: door\n    url: rtsp://admin:pa #1word@10.0.0.5/h264\n"


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param(REPEATED, ["'segmentation' occurs twice, in lines 1 and 3"], id="section"),
        pytest.param("a:\n  b: 1\n  b: 1\n", ["'b' occurs twice, in lines 2 and 3"], id="nested"),
        pytest.param("- {b: 1, b: 2}", ["'b' occurs twice, in lines 1 and 1"], id="flow style"),
        pytest.param("b: 1\n'b': 2\n", ["'b' occurs twice, in lines 1 and 2"], id="quoted"),
        pytest.param("yes: 1\ntrue: 2\n", ["True occurs twice, in lines 1 and 2"], id="same value"),
        pytest.param(
            "a: 1\nb: {c: 1, c: 2}\na: 3\na: 4\n",
            [
                "'a' occurs twice, in lines 1 and 3",
                "'a' occurs twice, in lines 1 and 4",
                "'c' occurs twice, in lines 2",
            ],
            id="all at once",
        ),
    ],
)
def test_repeated_keys_are_named_with_their_lines(text, faults):
    with pytest.raises(ConfigError) as caught:
        parse_yaml(text, "my.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == len(faults)
    assert all(line.startswith("my.yaml: key ") for line in lines)
    assert all(fault in line for line, fault in zip(lines, faults, strict=True))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("", None, id="empty"),
        pytest.param("a: {x: 1}\nb: {x: 1}\n", {"a": {"x": 1}, "b": {"x": 1}}, id="same key of two mappings"),
        pytest.param("1: a\n'1': b\n", {1: "a", "1": "b"}, id="number and text"),
        pytest.param("a: &x {b: 1}\nc: {<<: *x, b: 2}\n", {"a": {"b": 1}, "c": {"b": 2}}, id="merge with override"),
        pytest.param("a: &x [1]\nb: *x\n", {"a": [1], "b": [1]}, id="alias"),
        pytest.param("\ufeffa: 1 # x\n", {"a": 1}, id="byte order mark"),
    ],
)
def test_values_without_fault(text, value):
    assert parse_yaml(text, "my.yaml") == value


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("010", "8"),
        ("-017", "-15"),
        ("12:30", "750"),
        ("1:30.5", "90.5"),
        ("0x10", ""),
        ("0", ""),
        ("08", ""),
        ("0.5", ""),
    ],
)
def test_numbers_of_another_base_are_reported(value, read):
    text = f"id: a\nport: {value}\n"
    if not read:
        assert parse_yaml(text, "c.yaml")["id"] == "a"
        return
    with pytest.raises(
        ConfigError, match=rf"c\.yaml: line 2: YAML reads {value} as {read}; write that number, or quote"
    ):
        parse_yaml(text, "c.yaml")
    assert parse_yaml(f"id: a\nport: '{value}'\n", "c.yaml")["port"] == value


def test_tab_before_a_key_is_named_with_a_remedy():
    with pytest.raises(ConfigError, match=r"c\.yaml is not valid YAML: .* line 2, column 1; indent with spaces, not"):
        parse_yaml("a:\n\tb: 1\n", "c.yaml")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("rtsp://admin:pa #1word@10.0.0.5/h264", id="letters"),
        pytest.param("rtsp://admin:12 #4@10.0.0.5/h264", id="digits"),
        pytest.param("rtsp://admin:p@s #1@camera:554/h264", id="at sign before"),
        pytest.param("rtsp://admin:pa # word@10.0.0.5/h264", id="space after"),
        pytest.param("rtsp://admin #1:pw@10.0.0.5/h264", id="user"),
        pytest.param("http://10.0.0.5/clips/take #2.mp4", id="path of an address"),
        pytest.param("clips/take #2.mp4", id="path"),
        pytest.param("/data/take #2 final.MKV", id="path with two spaces"),
        pytest.param("take #2.mp4", id="name"),
    ],
)
@pytest.mark.parametrize("form", ["url: {}", "url: {}\nid: a", "[1, {}\n]", "{{url: {}\n}}", "- {}"])
def test_cut_values_are_reported_without_the_value(value, form):
    with pytest.raises(ConfigError, match=r"line 1: .* quote the value") as caught:
        parse_yaml(form.format(value), "my.yaml")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert "admin" not in message
    assert "take" not in message


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("url: rtsp://camera/1 # front door", id="comment"),
        pytest.param("url: rtsp://camera/1 #front door", id="no space after"),
        pytest.param("url: rtsp://camera/1 #bob@example.com", id="mail"),
        pytest.param("url: rtsp://camera #bob@example.com", id="mail after a host"),
        pytest.param("url: rtsp://camera/1   # bob@10.0.0.5/x was here", id="host in a comment"),
        pytest.param("url: http://host/clip.mp4 #take2.mp4 is older", id="file name in a comment"),
        pytest.param("url: clips/a.mp4 #b.mp4", id="other file"),
        pytest.param("path: images #see notes in readme.json", id="sentence that ends with a file"),
        pytest.param("weights: default #FastSAM-s.pt", id="alternative"),
        pytest.param("conf: 0.4 #0.5", id="number"),
        pytest.param("conf: 0.4 #0.5 for a.png", id="number with a file"),
        pytest.param("url: 'take #2.mp4'", id="quoted"),
        pytest.param("url: rtsp://admin:pa#1@10.0.0.5/h264", id="no space before"),
        pytest.param("url: #2.mp4", id="no value"),
        pytest.param("#2.mp4\nurl: clips/take", id="own line"),
        pytest.param("url: clips/take ##2.mp4", id="two signs"),
    ],
)
def test_ordinary_comments_are_comments(text):
    assert parse_yaml(text, "my.yaml") == yaml.safe_load(text)


def test_an_existing_file_is_surely_meant(tmp_path: Path):
    (tmp_path / "gate #north").mkdir()
    with pytest.raises(ConfigError, match="quote the value"):
        parse_yaml(f"path: {tmp_path}/gate #north", "my.yaml")
    (tmp_path / "gate").mkdir()
    assert parse_yaml(f"path: {tmp_path}/gate #north", "my.yaml") == {"path": f"{tmp_path}/gate"}


@given(
    st.sampled_from(["rtsp://camera:554/1", "rtsp://user:pw@10.0.0.5/h264", "clips/a.mp4", "default", "0.4", "images"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126)),
)
def test_a_comment_after_a_space_is_a_comment(value, comment):
    assert parse_yaml(f"key: {value} # {comment}", "my.yaml") == yaml.safe_load(f"key: {value}")


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=12)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(TEXT, children, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@given(PLAIN, st.booleans())
def test_written_values_are_read_back(value, flow):
    assert parse_yaml(yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True), "my.yaml") == value


@given(st.text(st.sampled_from("ab:#-[]{}&*!|>'\"%@`, \n\t019.~?/<\ufeff\x00é"), max_size=30))
def test_any_text_is_read_or_rejected(text):
    message = "my.yaml"
    try:
        parse_yaml(text, "my.yaml")
    except ConfigError as error:
        message = str(error)
    assert all(line.startswith("my.yaml") for line in message.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: 2026-99-99", id="date that does not exist"),
        pytest.param("!!bool maybe", id="no boolean"),
        pytest.param("!!timestamp x", id="no time"),
        pytest.param("!!int ''", id="no number"),
        pytest.param("[" * 1500, id="too deep"),
        pytest.param("a: \x00", id="control character"),
        pytest.param("a: 1\n---\nb: 2", id="two documents"),
        pytest.param("url: rtsp://u:secret@h: {", id="address in the faulty line"),
        pytest.param(f"a: {'9' * 5000}", id="endless number"),
    ],
)
def test_faults_are_one_line_without_the_text(text):
    with pytest.raises(ConfigError, match=r"my\.yaml is not valid YAML") as caught:
        parse_yaml(text, "my.yaml")
    assert len(str(caught.value).splitlines()) == 1
    assert "secret" not in str(caught.value)


# ---- every YAML of the project


def test_configuration(tmp_path: Path):
    path = tmp_path / "my.yaml"
    for text, message in ((REPEATED, "key 'segmentation' occurs twice, in lines 1 and 3"), (CUT, "line 4: .*quote")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=message):
            load_config(path)
    with pytest.raises(ConfigError, match="'a' occurs twice"):
        load_config(sets=["segmentation={a: 1, a: 2}"])


def test_recipe(tmp_path: Path):
    path = tmp_path / "recipe.yaml"
    path.write_text("imgsz: 128\nimgsz: 96\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="'imgsz' occurs twice, in lines 1 and 2"):
        load_recipe(path)


def test_training_settings():
    with pytest.raises(ConfigError, match="--set compose: key 'a' occurs twice"):
        training_settings({}, ["compose={a: 1, a: 2}"], None)


def test_value_of_a_setting_that_is_no_yaml_hides_the_password():
    with pytest.raises(ConfigError, match="is not a YAML value") as caught:
        parse_yaml_value("rtsp://u:secret@h: {", "--set url")
    assert "secret" not in str(caught.value)


# ---- addresses of sources


BAD = "rtsp://admin:secret#1@127.0.0.1:8599/cam"


def test_an_address_that_cannot_be_opened_is_a_mistake_of_the_configuration(tmp_path: Path):
    path = tmp_path / "my.yaml"
    path.write_text(f"sources: [{{type: stream, url: '{BAD}'}}]", encoding="utf-8")
    for arguments in ({"path": path}, {"sources": [BAD]}, {"sources": [f" {BAD}\n"]}):
        with pytest.raises(ConfigError, match=r"write %23 for #$") as caught:
            load_config(**arguments)
        assert "secret" not in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


def test_received_values_do_not_show_passwords():
    with pytest.raises(ConfigError) as caught:
        load_config(sets=["sources=[rtsp://admin:secret@10.0.0.5/h264]"])
    assert "rtsp://***@10.0.0.5/h264" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_received_values_are_shortened():
    with pytest.raises(ConfigError) as caught:
        load_config(sets=[f"segmentation.conf={'x' * 10_000}"])
    assert len(str(caught.value)) < 500


def test_spaces_around_a_source_do_not_count():
    assert parse_source(" rtsp://camera/1\n") == parse_source("rtsp://camera/1")

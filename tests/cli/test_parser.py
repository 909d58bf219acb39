import argparse

import pytest

from streamseg.cli.main import build_parser
from streamseg.cli.parser import Parser, subparsers_of


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["segmet", "a.jpg"], "unknown subcommand 'segmet'; did you mean 'segment'?", id="subcommand"),
        pytest.param(["RUN"], "unknown subcommand 'RUN'; did you mean 'run'?", id="upper case"),
        pytest.param(["check_config"], "did you mean 'check-config'?", id="underscore"),
        pytest.param(["weights", "gett"], "weights: unknown subcommand 'gett'; did you mean 'get'?", id="action"),
        pytest.param(
            ["zzzz"], "unknown subcommand 'zzzz'; choose from demo, run, fleet, ros, segment", id="nothing near"
        ),
        pytest.param(["run", "--durtion", "3"], "run: unrecognized arguments: --durtion; did you", id="option"),
        pytest.param(["run", "--durtion=3"], "did you mean '--duration'?", id="option with value"),
        pytest.param(["segment", "a.jpg", "b.jpg"], "unrecognized arguments: b.jpg (see", id="too many inputs"),
        pytest.param(
            ["segment", "a.jpg", "--boxes", "10", "20", "200", "300"],
            "unrecognized arguments: 20 200 300; join the numbers of one value by commas, as in 10,20,200,300 (see",
            id="a box with spaces",
        ),
        pytest.param(["segment", "a.jpg", "--points", "10,", "-2.5"], "join the numbers of one", id="a point with one"),
        pytest.param(["segment", "a.jpg", "imgsz"], "unrecognized arguments: imgsz (see", id="a word is no option"),
        pytest.param(["eval", "propsals"], "unknown protocol 'propsals'; did you mean 'proposals'?", id="protocol"),
        pytest.param(
            ["eval", "zzz", "images"],
            "PROTOCOL: unknown protocol 'zzz'; available: proposals, ",
            id="two unknown words",
        ),
        pytest.param(["demo", "--frames", "3"], "demo: unrecognized arguments: --frames (see", id="no option near"),
        pytest.param(["segment", ""], "argument INPUT: the value is empty", id="empty input"),
        pytest.param(["run", "scene", ""], "argument INPUT: the value is empty", id="empty one of the inputs"),
        pytest.param(["segment", "a.jpg", "--out", ""], "argument --out: the value is empty", id="empty path"),
        pytest.param(["segment", "a.jpg", "--quality", ""], "argument --quality: the value is empty", id="empty name"),
        pytest.param(["segment", "a.jpg", "--out= "], "argument --out: the value is empty", id="blank path"),
        pytest.param([""], "unknown subcommand ''; choose from demo", id="empty subcommand"),
        pytest.param(["segment", "a.jpg", "--points", "-x"], "--points: expected one argument", id="value like option"),
        pytest.param(["--log-format", "jsn", "run"], "invalid choice: 'jsn'; did you mean 'json'?", id="choice"),
    ],
)
def test_error_suggests_the_nearest_name(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        build_parser().parse_args(arguments)
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        pytest.param("-5,-5,10,10", "[[-5, -5, 10, 10]]", id="commas"),
        pytest.param("-.5,0,10,10", "[[-0.5, 0, 10, 10]]", id="fraction"),
        pytest.param("-5,-5,10,10 1,1,9,9", "[[-5, -5, 10, 10], [1, 1, 9, 9]]", id="two boxes"),
    ],
)
def test_negative_coordinates_are_values(text, boxes):
    assert build_parser().parse_args(["segment", "a.jpg", "--boxes", text]).boxes == boxes


def test_converters_decide_about_empty_values():
    parser = Parser()
    parser.add_argument("--switch", type=bool)
    parser.add_argument("--name")
    assert vars(parser.parse_args(["--switch", "", "--name", ""])) == {"switch": False, "name": ""}


def test_inputs_may_stand_between_options():
    parser = Parser()
    parser.add_argument("inputs", nargs="*")
    parser.add_argument("--loop", action="store_true")
    assert parser.parse_args(["a", "--loop", "b", "c"]).inputs == ["a", "b", "c"]
    assert parser.parse_args(["--loop"]).inputs == []


def test_subparsers_are_listed_once():
    parser = argparse.ArgumentParser()
    assert subparsers_of(parser) == []
    added = parser.add_subparsers()
    first, second = added.add_parser("first", aliases=["one"]), added.add_parser("second")
    assert subparsers_of(parser) == [first, second]

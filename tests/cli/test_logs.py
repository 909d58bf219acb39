import json
import logging
import re
import subprocess
import sys

import pytest

from streamseg.cli.logs import JsonLines, TextLines
from streamseg.cli.main import build_parser, main


def record_of(
    message: str,
    *,
    thread: str = "MainThread",
    source: str | None = None,
    error: bool = False,
    logger="streamseg.capture",
):
    exception = (ValueError, ValueError("bad"), None) if error else None
    record = logging.LogRecord(logger, logging.WARNING, "x.py", 1, message, None, exception)
    record.threadName = thread
    if source is not None:
        record.source = source
    return record


@pytest.mark.parametrize(
    ("record", "source", "text"),
    [
        pytest.param(record_of("late"), None, "streamseg: late", id="no source"),
        pytest.param(record_of("cup: lost", logger="libav.h264"), None, "libav.h264: cup: lost", id="of a library"),
        pytest.param(record_of("late", thread="capture cam1"), "cam1", "cam1: late", id="by thread"),
        pytest.param(record_of("cam1: late", thread="capture cam1"), "cam1", "cam1: late", id="named in the message"),
        pytest.param(record_of("source b: late", source="b"), "b", "b: late", id="named as a source"),
        pytest.param(record_of("late", source="b"), "b", "b: late", id="by field"),
        pytest.param(record_of("late", thread="capture a", source="b"), "b", "b: late", id="field before thread"),
    ],
)
def test_record_carries_time_level_and_source(record, source, text):
    line = TextLines().format(record)
    assert re.fullmatch(rf"\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z WARNING {text}", line)
    values = json.loads(JsonLines().format(record))
    assert values == {
        "time": line.partition(" ")[0],
        "level": "warning",
        "source": source,
        "logger": record.name,
        "message": record.getMessage(),
    }


def test_json_stays_on_one_line_with_a_traceback():
    line = JsonLines().format(record_of("first\nsecond", error=True))
    assert "\n" not in line
    assert json.loads(line)["error"] == "ValueError: bad"
    assert TextLines().format(record_of("m", error=True)).endswith(": m\nValueError: bad")


@pytest.mark.parametrize(
    ("arguments", "level", "log_format"),
    [
        pytest.param(["doctor"], None, "text", id="defaults"),
        pytest.param(["--log-format", "json", "doctor"], None, "json", id="before the subcommand"),
        pytest.param(["doctor", "--log-format", "json", "--log-level", "INFO"], "info", "json", id="after it"),
        pytest.param(["weights", "list", "--log-level=debug"], "debug", "text", id="after an action"),
    ],
)
def test_options_are_accepted_before_and_after_the_subcommand(arguments, level, log_format):
    args = build_parser().parse_args(arguments)
    assert (args.log_level, args.log_format) == (level, log_format)


def test_error_of_the_command_is_json_too(capsys):
    assert main(["check-config", "/nowhere.yaml", "--log-format", "json"]) == 2
    values = json.loads(capsys.readouterr().err)
    assert (values["level"], values["source"]) == ("error", None)
    assert "/nowhere.yaml" in values["message"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(
            ["check-config", "--set", "publish.endpoint=tcp://*:0", "--set", "publish.allow_public=true"], id="note"
        ),
        pytest.param(["subscribe", "tcp://127.0.0.1:1", "--timeout", "0.01"], id="no message"),
    ],
)
def test_lines_for_the_user_are_json_too(arguments, capsys):
    main([*arguments, "--log-format", "json"])
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["logger"] == "streamseg"


@pytest.mark.slow
def test_standard_error_of_a_run_is_json(tmp_path):
    config = tmp_path / "c.yaml"
    config.write_text("sources: [{type: scene, width: 64, height: 64, num_frames: 3, mode: every_frame}]")
    options = ["--no-publish", "--log-format", "json", "-v", "--set", "segmentation.imgsz=64"]
    command = [sys.executable, "-m", "streamseg", "run", str(config), *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line in done.stderr.splitlines():
        assert set(json.loads(line)) == {"time", "level", "source", "logger", "message"}
    assert done.stdout.splitlines()[-1].startswith("3 frames")

import argparse
import io
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml

from streamseg.cli import check_config, run
from streamseg.cli.recording import VideoSink
from streamseg.cli.status_line import StatusLine, describe_run, summary_lines
from streamseg.config import Config, load_config
from streamseg.errors import ConfigError, PublishError, SourceError, StreamsegError
from streamseg.pipeline import Pipeline
from streamseg.publish import Subscriber
from streamseg.runtime import Ages, RunStats, SourceStats
from tests.support.stages import SquareSegmenter, fresh_frame, small_scene, small_settings
from tests.support.videos import write_video

FIGURES = re.compile(r"\d+ frames, \d+\.\d fps, age p50 \d+ p95 \d+ p99 \d+ ms, drops \d+")


def call(*arguments: str) -> int:
    """One of the two subcommands, as the command line calls it."""
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers(required=True)
    run.add_parser(subparsers)
    check_config.add_parser(subparsers)
    args = parser.parse_args(arguments)
    code: int = args.command(args)
    return code


def write_config(folder: Path, **scene: object) -> str:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"sources": [small_scene(**scene)]}))
    return str(path)


def settings() -> list[str]:
    return [word for setting in small_settings() for word in ("--set", setting)]


# ---- run


def test_a_run_ends_with_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = write_config(tmp_path, num_frames=30, mode="every_frame")
    assert call("run", config, *settings()) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert re.fullmatch(r"messages at tcp://127\.0\.0\.1:\d+", lines[0])
    assert re.fullmatch(r"control at tcp://127\.0\.0\.1:\d+", lines[1])
    assert lines[-1].startswith("30 frames, ")
    assert FIGURES.match(lines[-1])
    assert "network" in lines[-2]
    assert "\x1b" not in err, "no terminal, no redrawing"


def test_a_duration_ends_an_endless_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert call("run", write_config(tmp_path), *settings(), "--duration", "0.5", "--no-publish") == 0
    out = capsys.readouterr().out
    assert " at tcp" not in out
    assert re.match(r"\d+ frames, .*, drops \d+", out.splitlines()[-1])


def test_sources_and_video_of_the_command_line(tmp_path: Path):
    film = write_video(tmp_path / "film.mp4", 12)
    out = tmp_path / "out" / "seen.mp4"
    messages = tmp_path / "out" / "seen.jsonl"
    arguments = ["--no-publish", "--out", str(out), "--set", f"output.messages={messages}"]
    assert call("run", "--source", str(film), *settings(), *arguments) == 0
    assert [json.loads(line)["index"] for line in messages.read_text().splitlines()] == list(range(12))
    assert num_frames_of(out) == 12


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param(["--source", "/nowhere.mp4"], SourceError, "/nowhere.mp4", id="missing-file"),
        pytest.param(["/nowhere.yaml"], ConfigError, "/nowhere.yaml", id="missing-config"),
        pytest.param(["--set", "segmentation.cnf=1"], ConfigError, "did you mean 'conf'", id="unknown-key"),
        pytest.param(["--duration", "0"], ConfigError, "--duration must be more than 0", id="no-duration"),
        pytest.param(["--duration", "nan"], ConfigError, "--duration must be more than 0", id="duration-nan"),
    ],
)
def test_mistakes_are_errors_before_anything_is_written(
    tmp_path: Path, arguments: list[str], error: type[StreamsegError], message: str
):
    with pytest.raises(error) as caught:
        call("run", *settings(), "--out", str(tmp_path / "v.mp4"), *arguments)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_never_answers_is_one_error_without_figures(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    arguments = ["--source", "rtsp://127.0.0.1:1/x", "--set", "sources.0.open_timeout_seconds=0.2", "--no-publish"]
    with pytest.raises(SourceError, match="did not respond within"):
        call("run", *settings(), *arguments)
    assert capsys.readouterr().out == ""
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_port_in_use_leaves_no_video(tmp_path: Path):
    config = write_config(tmp_path)
    (tmp_path / "out").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ["--set", f"publish.endpoint=tcp://127.0.0.1:{port}", "--out", str(tmp_path / "out" / "v.mp4")]
        with pytest.raises(PublishError, match=str(port)):
            call("run", config, *settings(), *arguments)
    assert list((tmp_path / "out").iterdir()) == []


def test_ctrl_c_flushes_everything_and_prints_the_figures(tmp_path: Path):
    video, messages = tmp_path / "v.mp4", tmp_path / "m.jsonl"
    arguments = ["--out", str(video), "--set", f"output.messages={messages}"]
    command = [sys.executable, "-m", "streamseg.cli.main", "run", write_config(tmp_path), *settings(), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            with Subscriber(process.stdout.readline().strip().removeprefix("messages at ")) as subscriber:
                assert subscriber.receive(30) is not None
            started = time.monotonic()
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
            seconds = time.monotonic() - started
        finally:
            process.kill()
    assert process.returncode == 130, err
    last = out.strip().splitlines()[-1]
    assert FIGURES.match(last)
    num_frames = int(last.partition(" ")[0])
    assert num_frames_of(video) == num_frames
    assert len(messages.read_text().splitlines()) == num_frames
    assert seconds < 5.0, "a second on a machine that has nothing else to do"


def test_a_service_manager_ends_it_as_ctrl_c_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    before = signal.getsignal(signal.SIGTERM)
    messages = tmp_path / "m.jsonl"
    pause = threading.Event()

    def end() -> None:
        while not (messages.exists() and messages.stat().st_size):
            pause.wait(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    ender = threading.Thread(target=end)
    ender.start()
    with pytest.raises(KeyboardInterrupt):
        call("run", write_config(tmp_path), *settings(), "--set", f"output.messages={messages}")
    ender.join()
    num_frames = int(capsys.readouterr().out.splitlines()[-1].partition(" ")[0])
    assert len(messages.read_text().splitlines()) == num_frames
    assert signal.getsignal(signal.SIGTERM) == before


# ---- recording


def num_frames_of(path: Path) -> int:
    import av

    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def result_of(source_id: str, index: int):
    pipeline = Pipeline(SquareSegmenter())
    frame = fresh_frame(source_id, index)
    return pipeline.finish(frame, pipeline.segment([frame])[0])


def test_each_source_has_a_video_of_its_own(tmp_path: Path):
    sink = VideoSink(tmp_path / "out.mp4", ["a", "b", "silent"])
    for index in range(4):
        sink.write(result_of("a", index))
    sink.write(result_of("b", 0))
    sink.close()
    sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out-a.mp4", "out-b.mp4"]
    assert num_frames_of(tmp_path / "out-a.mp4") == 4


# ---- the status line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def figures(silent_seconds: float = 0.1, **values: object) -> RunStats:
    sources = (
        SourceStats(
            "a", "running", None, 5, silent_seconds, 2.0, Ages(40, 55, 70), "camera", 3, {"mailbox": {"newer_frame": 2}}
        ),
        SourceStats("b", "failed", "b: gone", 0, None, 0.0, Ages(), None, 0, {}),
    )
    standard: dict[str, object] = {
        "seconds": 3.0,
        "num_frames": 5,
        "fps": 2.5,
        "recent_fps": 2.0,
        "ages": Ages(40, 55, 70),
        "num_objects": 3,
        "drops": {"mailbox": {"newer_frame": 2}},
        "stages_ms": {"network": (30.0, 40.0), "masks": (math.nan, math.nan)},
        "is_paused": False,
        "sources": sources,
    }
    return RunStats(**{**standard, **values})  # type: ignore[arg-type]


def test_one_line_says_how_a_run_is_doing():
    assert describe_run(figures()) == "2.0 fps | 3 objects | age p50 40 p95 55 p99 70 ms | drops 2 | b failed"
    assert describe_run(figures(silent_seconds=12)).endswith("drops 2 | a silent for 12 s | b failed")
    assert describe_run(figures(silent_seconds=12, is_paused=True)).endswith("drops 2 | paused | b failed")


def test_the_summary_ends_with_the_figures():
    assert list(summary_lines(figures())) == [
        "a: running, 5 frames, age p50 40 p95 55 p99 70 ms by camera clock, drops 2 (mailbox newer_frame 2)",
        "b: failed (b: gone), 0 frames, age -, drops 0",
        "stages, p50 ms: network 30.0",
        "5 frames, 2.5 fps, age p50 40 p95 55 p99 70 ms, drops 2 (mailbox newer_frame 2)",
    ]
    assert len(list(summary_lines(figures(sources=figures().sources[:1], stages_ms={})))) == 1


def test_on_a_terminal_the_line_is_redrawn():
    terminal = Terminal()
    line = StatusLine(terminal)
    line.close()
    assert terminal.getvalue() == ""
    line.update(figures())
    line.update(figures())
    line.close()
    assert terminal.getvalue() == f"\r\x1b[K{describe_run(figures())}" * 2 + "\n"


def test_elsewhere_there_is_a_line_now_and_then():
    stream, clock = io.StringIO(), Clock()
    line = StatusLine(stream, clock=clock)
    for second in range(25):
        clock.now = float(second)
        line.update(figures())
    line.close()
    assert stream.getvalue() == f"{describe_run(figures())}\n" * 3


# ---- check-config


def test_check_config_prints_what_a_file_comes_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "config.yaml"
    path.write_text("sources: [{type: stream, url: a.mp4}]\nbatching: {max_batch: 3}\n")
    assert call("check-config", str(path), "--set", "segmentation.conf=0.5") == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["sources"][0]["id"] == "stream0"
    assert (printed["batching"]["max_batch"], printed["segmentation"]["conf"]) == (3, 0.5)
    assert Config.model_validate(printed).tracking == Config().tracking


def test_what_check_config_prints_means_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert call("check-config") == 0
    path = tmp_path / "printed.yaml"
    path.write_text(capsys.readouterr().out)
    assert call("check-config", str(path)) == 0
    assert capsys.readouterr().out == path.read_text()
    assert load_config(path).named_sources() == Config().named_sources()


def test_check_config_names_every_mistake(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text("batching: {max_bach: 3}\nsegmentation: {conf: 7}\n")
    with pytest.raises(ConfigError) as caught:
        call("check-config", str(path))
    assert len(str(caught.value).splitlines()) == 2


# ---- the page


def test_the_page_is_served_while_it_runs_and_its_address_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert call("run", write_config(tmp_path, num_frames=5), *settings(), "--no-publish", "--view", "0") == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"page at http://127\.0\.0\.1:\d+/\?token=[\w-]{16,}", lines[0])


@pytest.mark.parametrize("port", ["config.yaml", "-1", "65536", "8765.0"])
def test_what_is_no_port_of_the_page_is_refused(port: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        call("run", f"--view={port}")
    assert "is no port from 0 to 65535" in capsys.readouterr().err


def test_a_page_whose_port_is_in_use_leaves_no_video(tmp_path: Path):
    config = write_config(tmp_path)
    (tmp_path / "out").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ["--no-publish", f"--view={port}", "--out", str(tmp_path / "out" / "v.mp4")]
        with pytest.raises(PublishError, match="it is in use"):
            call("run", config, *settings(), *arguments)
    assert list((tmp_path / "out").iterdir()) == []

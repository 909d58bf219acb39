import argparse
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml

from streamseg.cli import check_config, run
from streamseg.cli.main import main
from streamseg.cli.recording import OverlayVideos
from streamseg.config import Config, load_config
from streamseg.drawing.image_file import write_image
from streamseg.errors import ConfigError, DataError, PublishError, SourceError, StreamsegError
from streamseg.pipeline import Pipeline
from streamseg.publish import Subscriber
from tests.support.stages import SquareSegmenter, fresh_frame, small_scene, small_settings
from tests.support.videos import write_video
from tests.support.waiting import wait_until

TOTALS = re.compile(r"\d+ frames?, \d+\.\d fps, age p50 \d+ p95 \d+ p99 \d+ ms, drops \d+")
STATUS = re.compile(r"\d+\.\d fps \| ")
"""The status line, written every ten seconds: on a slow machine these runs take longer."""


def call(*arguments: str) -> int:
    """Call one of the two subcommands like the command line."""
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


@pytest.mark.slow
def test_run_ends_with_its_totals(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = write_config(tmp_path, num_frames=30, mode="every_frame")
    assert call("run", config, *settings()) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert re.fullmatch(r"messages at tcp://127\.0\.0\.1:\d+", lines[0])
    assert re.fullmatch(r"control at tcp://127\.0\.0\.1:\d+", lines[1])
    assert lines[-1].startswith("30 frames, ")
    assert TOTALS.match(lines[-1])
    assert "network" in lines[-2]
    assert "\x1b" not in err, "no control codes without a terminal"


@pytest.mark.slow
def test_foxglove_and_rerun_beside_an_mcap_file_that_is_replayed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    for name, extra in (("foxglove", "foxglove"), ("rerun", "rerun"), ("mcap", "record")):
        pytest.importorskip(name, reason=f"needs the extra {extra}")
    config = write_config(tmp_path, num_frames=12, mode="every_frame")
    outputs = [tmp_path / "run.rrd", tmp_path / "run.mcap"]
    words = ["--rerun", str(outputs[0]), "--mcap", str(outputs[1]), "--foxglove", "127.0.0.1:0"]
    assert call("run", config, *settings(), *words) == 0
    out, err = capsys.readouterr()
    assert re.search(r"^Foxglove at ws://127\.0\.0\.1:\d+$", out, re.MULTILINE)
    assert [line for line in err.splitlines() if not STATUS.match(line)] == [], "no warnings"
    assert all(path.stat().st_size for path in outputs)
    sets = ["--set", "sources.0.mode=every_frame", "--set", "sources.0.instances=recorded"]
    assert call("run", str(outputs[1]), *settings(), *sets) == 0
    assert TOTALS.search(capsys.readouterr().out)[0].startswith("12 frames")


@pytest.mark.slow
def test_duration_ends_an_endless_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert call("run", write_config(tmp_path), *settings(), "--duration", "0.5", "--no-publish") == 0
    out = capsys.readouterr().out
    assert " at tcp" not in out
    assert re.match(r"\d+ frames?, .*, drops \d+", out.splitlines()[-1])


@pytest.mark.slow
def test_source_and_video_from_the_command_line(tmp_path: Path):
    video = write_video(tmp_path / "clip.mp4", 12)
    out = tmp_path / "out" / "seen.mp4"
    messages = tmp_path / "out" / "seen.jsonl"
    arguments = ["--no-publish", "--out", str(out), "--set", f"output.messages={messages}"]
    assert call("run", "--source", str(video), *settings(), *arguments) == 0
    assert [json.loads(line)["index"] for line in messages.read_text().splitlines()] == list(range(12))
    assert num_frames_of(out) == 12


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoils", "flags", "expected_code"),
    [
        pytest.param(True, [], 0, id="skipped"),
        pytest.param(True, ["--strict"], 2, id="strict"),
        pytest.param(False, ["--strict"], 0, id="strict, nothing skipped"),
    ],
)
def test_bad_image_of_a_folder_is_skipped_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], spoils: bool, flags: list[str], expected_code: int
):
    for name in ("a.png", "b.png", "c.png"):
        write_image(tmp_path / name, np.full((24, 32, 3), 100, np.uint8))
    if spoils:
        (tmp_path / "b.png").write_bytes((tmp_path / "b.png").read_bytes()[:60])
    assert call("run", str(tmp_path), "--no-publish", *settings(), *flags) == expected_code
    lines = capsys.readouterr().out.splitlines()
    assert ("1 skipped" in lines) is spoils
    assert TOTALS.match(lines[-1])


def terminate_after(messages: Path, num_messages: int) -> None:
    """Terminate this process, as a service manager does, once a file has this many messages."""
    wait_until(lambda: messages.exists() and len(messages.read_bytes().splitlines()) >= num_messages)
    os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.slow
def test_loop_restarts_a_file_and_webm_is_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    video = write_video(tmp_path / "clip.mp4", 4)
    out = tmp_path / "seen.webm"
    messages = tmp_path / "m.jsonl"
    options = ["--loop", "--no-publish", "--out", str(out), "--set", f"output.messages={messages}"]
    ender = threading.Thread(target=terminate_after, args=(messages, 9))
    ender.start()
    assert main(["run", *options, str(video), *settings()]) == 0
    ender.join()
    num_frames = int(capsys.readouterr().out.splitlines()[-1].partition(" ")[0])
    assert num_frames > 8
    assert num_frames_of(out) == num_frames


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        pytest.param(["--source", "/nowhere.mp4"], SourceError, "/nowhere.mp4", id="missing-file"),
        pytest.param(["/nowhere.yaml"], ConfigError, "/nowhere.yaml", id="missing-config"),
        pytest.param(["--set", "segmentation.cnf=1"], ConfigError, "did you mean 'conf'", id="unknown-key"),
        pytest.param(["--duration", "0"], ConfigError, "--duration must be more than 0", id="no-duration"),
        pytest.param(["--out", "v.gif"], DataError, "use one that ends in .mp4, .m4v, .mov, .mkv, .webm", id="gif"),
        pytest.param(["--duration", "nan"], ConfigError, "--duration must be more than 0", id="duration-nan"),
    ],
)
def test_mistakes_are_reported_before_anything_is_written(
    tmp_path: Path, arguments: list[str], error: type[StreamsegError], message: str
):
    with pytest.raises(error) as caught:
        call("run", *settings(), "--out", str(tmp_path / "v.mp4"), *arguments)
    assert message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_unreachable_source_is_one_error_without_totals(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
):
    arguments = ["--source", "rtsp://127.0.0.1:1/x", "--set", "sources.0.open_timeout_seconds=0.2", "--no-publish"]
    with pytest.raises(SourceError, match="did not respond within"):
        call("run", *settings(), *arguments, "--exit-on-failure")
    assert capsys.readouterr().out == ""
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.slow
def test_run_that_never_saw_an_image_is_an_error(capsys: pytest.CaptureFixture[str]):
    arguments = ["--source", "rtsp://admin:open-sesame@127.0.0.1:1/x", "--no-publish", "--duration", "2"]
    expected = r"no image within 2 s; stream0: waiting \(no connection to rtsp://\*\*\*@127.0.0.1:1/x \("
    with pytest.raises(SourceError, match=expected):
        call("run", *settings(), *arguments)
    assert capsys.readouterr().out == "", "no totals of a run without frames"


def test_used_port_leaves_no_video(tmp_path: Path):
    config = write_config(tmp_path)
    (tmp_path / "out").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ["--set", f"publish.endpoint=tcp://127.0.0.1:{port}", "--out", str(tmp_path / "out" / "v.mp4")]
        with pytest.raises(PublishError, match=str(port)):
            call("run", config, *settings(), *arguments)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_flushes_everything_and_prints_the_totals(tmp_path: Path):
    video, messages = tmp_path / "v.mp4", tmp_path / "m.jsonl"
    arguments = ["--out", str(video), "--set", f"output.messages={messages}"]
    command = [sys.executable, "-m", "streamseg.cli.main", "run", write_config(tmp_path), *settings(), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            with Subscriber(process.stdout.readline().strip().removeprefix("messages at ")) as subscriber:
                assert subscriber.receive(30) is not None
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130, err
    last = out.strip().splitlines()[-1]
    assert TOTALS.match(last)
    num_frames = int(last.partition(" ")[0])
    assert num_frames_of(video) == num_frames
    assert len(messages.read_text().splitlines()) == num_frames


@pytest.mark.slow
def test_sigterm_ends_a_run_as_a_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    before = signal.getsignal(signal.SIGTERM)
    messages = tmp_path / "m.jsonl"
    ender = threading.Thread(target=terminate_after, args=(messages, 1))
    ender.start()
    assert main(["run", write_config(tmp_path), *settings(), "--set", f"output.messages={messages}"]) == 0
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


def test_each_source_has_its_own_video(tmp_path: Path):
    videos = OverlayVideos(tmp_path / "out.mp4", ["a", "b", "silent"])
    a, b, silent = (videos.open_sink(source_id) for source_id in ("a", "b", "silent"))
    for index in range(4):
        a.write(result_of("a", index))
    b.write(result_of("b", 0))
    for sink in (a, b, silent, videos):
        sink.close()
        sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out-a.mp4", "out-b.mp4"]
    assert num_frames_of(tmp_path / "out-a.mp4") == 4


# ---- check-config


def test_check_config_prints_the_effective_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "config.yaml"
    path.write_text("sources: [{type: stream, url: 'rtsp://127.0.0.1/a'}]\nbatching: {max_batch: 3}\n")
    assert call("check-config", str(path), "--set", "segmentation.conf=0.5") == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["sources"][0]["id"] == "stream0"
    assert (printed["batching"]["max_batch"], printed["segmentation"]["conf"]) == (3, 0.5)
    assert Config.model_validate(printed).tracking == Config().tracking


@pytest.mark.slow
def test_output_of_check_config_is_an_equivalent_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert call("check-config") == 0
    path = tmp_path / "printed.yaml"
    path.write_text(capsys.readouterr().out)
    assert call("check-config", str(path)) == 0
    assert capsys.readouterr().out == path.read_text()
    assert load_config(path).named_sources() == Config().named_sources()


@pytest.mark.slow
def test_check_config_reports_every_mistake(tmp_path: Path):
    path = tmp_path / "config.yaml"
    path.write_text("batching: {max_bach: 3}\nsegmentation: {conf: 7}\n")
    with pytest.raises(ConfigError) as caught:
        call("check-config", str(path))
    assert len(str(caught.value).splitlines()) == 2


# ---- the page


@pytest.mark.slow
def test_page_is_served_and_its_address_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert call("run", write_config(tmp_path, num_frames=5), *settings(), "--no-publish", "--view", "0") == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"page at http://127\.0\.0\.1:\d+/\?token=[\w-]{16,}", lines[0])


@pytest.mark.parametrize("port", ["config.yaml", "-1", "65536", "8765.0"])
def test_invalid_port_of_the_page_is_rejected(port: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        call("run", f"--view={port}")
    assert "is not a port from 0 to 65535" in capsys.readouterr().err


def test_used_port_of_the_page_leaves_no_video(tmp_path: Path):
    config = write_config(tmp_path)
    (tmp_path / "out").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        arguments = ["--no-publish", f"--view={port}", "--out", str(tmp_path / "out" / "v.mp4")]
        with pytest.raises(PublishError, match="it is in use"):
            call("run", config, *settings(), *arguments)
    assert list((tmp_path / "out").iterdir()) == []

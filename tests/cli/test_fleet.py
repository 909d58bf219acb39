"""The commands `fleet` and `batch`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from streamseg.cli.hangup_reload import HangupReload
from streamseg.cli.main import main
from streamseg.config import FleetConfig
from streamseg.drawing.image_file import write_image
from streamseg.errors import ConfigError
from streamseg.fleet.controller import Controller
from streamseg.publish import ControlClient, Subscriber
from tests.support.fleets import wait_for_sources, wait_until
from tests.support.videos import write_video

SMALL = "segmentation.imgsz=96"


def write_fleet(folder: Path, *cameras: dict[str, Any], **changes: Any) -> Path:
    values = {
        "workers": [{"name": "w", "count": 2}],
        "cameras": list(cameras),
        "publish": {"endpoint": f"ipc://{folder}/messages", "control_endpoint": None},
        "heartbeat_seconds": 0.2,
        "lost_seconds": 60,
        "start_seconds": 1000,
    }
    path = folder / "cameras.yaml"
    path.write_text(yaml.safe_dump({**values, **changes}), encoding="utf-8")
    return path


def scene(name: str, num_frames: int | None = 20) -> dict[str, Any]:
    return {"type": "scene", "id": name, "width": 128, "height": 96, "num_frames": num_frames, "mode": "every_frame"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_cameras_on_two_processes_end_with_the_totals(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write_fleet(tmp_path, scene("a"), scene("b"), {"type": "stream", "id": "c", "url": "none.mp4"})
    status = tmp_path / "status.json"
    with Subscriber(f"ipc://{tmp_path}/messages") as subscriber:
        assert main(["fleet", str(path), "--local", "--set", SMALL, "--status-file", str(status)]) == 0
        wait_for_sources(subscriber, "a", "b")
    *cameras, totals = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"\d+ frames?, 3 cameras, 2 workers", totals)
    assert [line.partition(" on ")[0] for line in cameras[-3:]] == ["a: ended", "b: ended", "c: refused"]
    assert "none.mp4" in cameras[-1]
    costs = {one["id"]: one.get("cost_ms") for one in json.loads(status.read_text())["cameras"]}
    assert costs["c"] is None


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_running_fleet_reads_its_configuration_again(tmp_path: Path):
    control = f"ipc://{tmp_path}/control"
    publish = {"endpoint": f"ipc://{tmp_path}/messages", "control_endpoint": control}
    live = {"num_frames": None, "mode": "live"}
    path = write_fleet(tmp_path, scene("a") | live, scene("b") | live, publish=publish)
    words = [sys.executable, "-m", "streamseg", "fleet", str(path), "--local", "--set", SMALL]
    log = tmp_path / "log"
    with log.open("w") as file:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=file, text=True)
    try:
        with (
            Subscriber(f"ipc://{tmp_path}/messages") as subscriber,
            ControlClient(control, timeout_seconds=600) as client,
        ):
            wait_for_sources(subscriber, "a", "b")
            client.call("prompts.set", {"prompts": [{"id": "kept", "source": "a", "points": [[10, 10]]}]})
            prompts = [{"id": "left", "source": "c", "box": [0, 0, 60, 90]}]
            write_fleet(tmp_path, scene("a") | live, scene("c") | live, publish=publish, prompts=prompts)
            process.send_signal(signal.SIGHUP)
            wait_for_sources(subscriber, "a", "c")
            assert [camera["id"] for camera in client.call("fleet.status")["cameras"]] == ["a", "c"]

            def ids() -> list[str]:
                return [prompt["id"] for prompt in client.call("prompts.list")["prompts"]]

            wait_until(lambda: ids() == ["kept", "left"])
            path.write_text("cameras: [{type: scene, fsp: 1}]")
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: "the configuration was not reloaded: " in log.read_text())
            wait_for_sources(subscriber, "a", "c")
    finally:
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate()
    assert process.returncode == 0
    assert re.fullmatch(r"\d+ frames?, 2 cameras, 2 workers", out.splitlines()[-1])
    assert "reloaded: added c, removed b, prompt left, prompt everything removed" in log.read_text()
    assert "unknown key; did you mean 'fps'?" in log.read_text()


def test_simulation(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    costs = tmp_path / "costs.json"
    costs.write_text(json.dumps({"cameras": [{"cost_ms": 20.0, "arrived_fps": 30.0}, {"cost_ms": None}]}))
    result = tmp_path / "result.json"
    path = write_fleet(tmp_path, scene("a") | {"max_fps": 10.0}, workers=[{"name": "w"}], lost_seconds=4.0)
    options = ["--simulate", "--cameras", "40", "--per-host", "2", "--seconds", "60", "--json", str(result)]
    assert main(["fleet", str(path), *options, "--costs", str(costs)]) == 0
    assert "h000 lost at 30 s" in capsys.readouterr().out
    values = json.loads(result.read_text())
    # 40 cameras at 10 frames per second and 20 ms are the work of 8 workers, which are busy for 80 %: 10 workers.
    assert (values["work"], values["hosts"], values["workers"]) == (8.0, 6, 12)
    assert values["failures"][0]["missing"] == 0
    assert values["failures"][0]["back_max_seconds"] <= 10.0


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--cameras", "0"], "--cameras must be 1 or more, got 0"),
        (["--spare-hosts", "-1"], "--spare-hosts must be 0 or more"),
        (["--hosts", "1", "--failures", "2"], "--failures must be at most the number of machines, 1, got 2"),
        (["--seconds", "0"], "--seconds must be more than 0"),
        (["--costs", "none.json"], "cannot read the costs of none.json"),
        (["--costs", "{config}"], "holds no costs; give the file of --status-file"),
        (["--json", "/dev/null/x"], "cannot write /dev/null/x"),
    ],
)
def test_mistakes_of_a_simulation(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], error: str):
    path = write_fleet(tmp_path, scene("a"))
    words = [word.format(config=path) for word in options]
    assert main(["fleet", str(path), "--simulate", "--seconds", "10", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert error in line


def test_a_mistake_in_the_configuration_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = write_fleet(tmp_path, {"type": "scene", "fsp": 1})
    assert main(["fleet", str(path), "--local"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cameras.0.fsp: unknown key; did you mean 'fps'?" in line


def test_reload_applies_what_is_valid(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    before = FleetConfig.model_validate({"cameras": [scene("a")]})
    after = FleetConfig.model_validate({"cameras": [scene("b")]})
    configs: list[FleetConfig | ConfigError] = [ConfigError("two\nlines"), after]

    def load() -> FleetConfig:
        found = configs.pop(0)
        if isinstance(found, ConfigError):
            raise found
        return found

    controller = Controller(before, {}, lambda endpoints: None)
    with HangupReload(lambda: controller.apply(load())) as reloader:
        reloader.poll()
        assert len(configs) == 2
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            reloader.poll()
    assert [record.getMessage() for record in caplog.records] == [
        "the configuration was not reloaded: two; lines",
        "the configuration was reloaded: added b, removed a",
    ]
    assert controller.config.camera_ids() == ["b"]


# ---- batch


def write_inputs(folder: Path, num_images: int) -> None:
    folder.mkdir()
    (folder / "more").mkdir()
    for number in range(num_images):
        image = np.full((48, 64, 3), 40 * number % 256, np.uint8)
        image[10:30, 10:40] = 200
        write_image(folder / "more" / f"{number:02}.png", image)
    write_video(folder / "video.mp4", 3)
    (folder / "bad.jpg").write_bytes(b"no image")


def lines_of(out: Path) -> dict[str, int]:
    """Number of whole lines of each output."""
    found = {}
    for path in sorted(out.rglob("*.jsonl")):
        if path.name != "manifest.jsonl":
            lines = path.read_text().splitlines()
            assert all(json.loads(line)["objects"] is not None for line in lines)
            found[path.relative_to(out).as_posix()] = len(lines)
    return found


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_killed_batch_is_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    inputs, out, num_images = tmp_path / "inputs", tmp_path / "out", 12
    write_inputs(inputs, num_images)
    words = ["batch", str(inputs), "--out", str(out), "--imgsz", "96"]
    expected = {f"more/{number:02}.png.jsonl": 1 for number in range(num_images)} | {"video.mp4.jsonl": 3}
    process = subprocess.Popen([sys.executable, "-m", "streamseg", *words], stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: any(out.glob("more/*.jsonl")))
    finally:
        process.kill()
        process.wait()
    # Its worker notices the end, and finishes at most the input that it has.
    before = {name: (out / name).stat().st_mtime_ns for name in lines_of(out)}
    assert set(before) <= set(expected)
    manifest = (out / "manifest.jsonl").read_text().splitlines()
    done = {json.loads(line)["output"] for line in manifest[1:] if "output" in line}
    assert main(words) == 1
    assert lines_of(out) == expected
    assert not list(out.rglob("*.partial"))
    assert all((out / name).stat().st_mtime_ns == before[name] for name in done if name in before), "written twice"
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith(f"{num_images + 2} inputs: {len(expected) - len(done)} done")
    assert printed[1].startswith("failed: bad.jpg: ")
    entries = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()[1:]]
    outputs = [entry["output"] for entry in entries if "output" in entry]
    assert sorted(outputs) == sorted(expected), "each exactly once"
    (inputs / "bad.jpg").unlink()
    assert main(words) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith(f"{len(expected)} inputs: 0 done, {len(expected)} done")
    assert main([*words, "--conf", "0.5"]) == 2
    assert "other settings (segmentation.conf)" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_batch_says_how_far_it_is(tmp_path: Path):
    inputs, out = tmp_path / "inputs", tmp_path / "out"
    write_inputs(inputs, 60)
    words = [sys.executable, "-m", "streamseg", "batch", str(inputs), "--out", str(out), "--imgsz", "96"]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: any(out.glob("more/*.jsonl")))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "Traceback" not in errors
    last = errors.splitlines()[-1]
    assert re.fullmatch(r"interrupted( after \d+ of 62 inputs)?; the same command continues", last)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--workers", "0"], "--workers must be 1 or more, got 0"),
        (["--gpus", "1"], "--gpus requires --ray"),
        (["--cpus", "0"], "--cpus must be more than 0"),
        ([], "is not a folder"),
    ],
)
def test_mistakes_of_a_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], error: str):
    assert main(["batch", str(tmp_path / "none"), "--out", str(tmp_path / "out"), *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert error in line
    assert not (tmp_path / "out").exists()

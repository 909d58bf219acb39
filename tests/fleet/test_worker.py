"""A worker in this process: cameras come and go without a restart; its configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from streamseg.cli.modes import open_mode
from streamseg.errors import PublishError
from streamseg.fleet.report import PromptReply, WorkerReport
from streamseg.fleet.worker import CameraWorker, worker_config
from streamseg.publish import Subscriber
from streamseg.publish.keys import create_key_files
from tests.support.fleets import fleet_config, wait_for_sources, wait_until


def scene(name: str, **changes: Any) -> dict[str, Any]:
    return {"type": "scene", "id": name, "width": 128, "height": 96, "fps": 20.0, **changes}


class Calls:
    """Heartbeats of a worker: each names the last report."""

    def __init__(self, worker: CameraWorker) -> None:
        self._worker = worker
        self._heard: tuple[str, int] | None = None

    def __call__(
        self, cameras: Sequence[Mapping[str, Any]] | None = None, prompts: tuple[int, list[Any]] | None = None
    ) -> WorkerReport:
        report = WorkerReport.from_json(json.loads(json.dumps(self._worker.exchange(self._heard, cameras, prompts))))
        self._heard = (report.incarnation, report.number)
        return report


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_cameras_come_and_go():
    values = fleet_config("a", segmentation={"imgsz": 96}, lost_seconds=600).model_dump(mode="json")
    with CameraWorker(values, open_mode) as worker:
        exchange = Calls(worker)
        first = exchange()
        assert (first.cameras, first.refused) == ({}, {})
        with Subscriber(first.endpoint) as subscriber:
            missing = {"type": "stream", "id": "none", "url": "none.mp4"}
            report = exchange([scene("a"), missing, scene("b")])
            assert set(report.cameras) == {"a", "b"}
            assert "none.mp4" in report.refused["none"]
            wait_for_sources(subscriber, "a", "b")
            before = exchange().cameras["b"]
            assert before.num_frames > 0
            assert before.image_size == (96, 128)
            report = exchange([scene("a", seed=1), scene("b")])
            assert set(report.cameras) == {"a", "b"}
            assert report.cameras["b"].num_frames >= before.num_frames, "not interrupted"
            assert report.refused == {}
            wait_for_sources(subscriber, "a", "b")
            exchange(prompts=(1, [{"id": "left", "source": "a", "box": [0, 0, 64, 96]}]))
            wait_until(lambda: [one["id"] for one in exchange().cameras["a"].prompts] == ["left"])
            assert exchange().prompts == PromptReply(1)
            assert exchange().cameras["b"].prompts == []
            assert set(exchange([]).cameras) == set()
            assert set(exchange([scene("c")]).cameras) == {"c"}
            wait_for_sources(subscriber, "c")
            wait_until(lambda: exchange().cameras["c"].cost_ms is not None)
            exchange([scene("d", num_frames=3, mode="every_frame")])
            wait_until(lambda: exchange().cameras["d"].state == "ended")
            assert exchange().cameras["d"].num_frames == 3, "ended means that its last frame is finished"
        worker._session.runtime.stop()
        worker._thread.join()
        with pytest.raises(PublishError, match="the run of this worker has ended"):
            exchange()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_worker_that_hears_nothing_closes_its_cameras(caplog: pytest.LogCaptureFixture):
    values = fleet_config("a", segmentation={"imgsz": 96}, lost_seconds=2.0).model_dump(mode="json")
    with CameraWorker(values, open_mode) as worker:
        exchange = Calls(worker)
        first = exchange()
        exchange([scene("a")])
        wait_until(lambda: "the fleet cannot be reached: closing " in caplog.text)
        report = exchange([scene("a")])
        assert report.process == first.process
        assert set(report.cameras) == set(), "meant for the lease before"
        assert set(exchange([scene("a")]).cameras) == {"a"}


def test_a_worker_has_the_sections_of_the_fleet_and_an_endpoint_of_its_own():
    prompts = [{"id": "p", "points": [[1, 2]], "source": "a"}]
    fleet = fleet_config("a", tracking={"confirm_frames": 7}, prompts=prompts, publish={"mask_scale": 0.5})
    config = worker_config(fleet, "10.0.0.1")
    assert config.publish.endpoint == "tcp://10.0.0.1:0"
    assert config.publish.control_endpoint is None
    assert (config.publish.mask_scale, config.tracking.confirm_frames) == (0.5, 7)
    assert [prompt.source for prompt in config.prompts] == ["a"]
    assert [source.id for source in config.sources] == ["fleet.standby"]


def test_a_worker_admits_the_owner_of_the_fleets_keys_only(tmp_path: Path):
    public, secret = create_key_files(tmp_path, "fleet")
    create_key_files(tmp_path, "reader")
    curve = {"secret_key": str(secret), "read": [str(tmp_path / "reader.key")]}
    config = worker_config(fleet_config("a", publish={"curve": curve}), "10.0.0.1")
    (own,) = config.publish.curve.read
    assert own in public.read_text()
    assert config.publish.curve.secret_key == str(secret)
    with pytest.raises(PublishError, match="cannot read the key"):
        worker_config(fleet_config("a", publish={"curve": {**curve, "secret_key": "none"}}), "10.0.0.1")

"""Costs of a fleet: a camera on a worker, the proxy, the placement of 1,000 cameras, and the loss of a worker.

python -m benchmarks.fleet [--parts camera proxy place simulation lost] [--cameras 4] [--seconds 20] [--json FILE]

camera   rendered scenes of 640x360 on one worker, after a warm-up: its own measure of cost (wall-clock, which the load
         of the machine changes), and processor time per frame.
proxy    processor time per message of the proxy's thread, for masks alone and with an image, and of a publisher with
         one subscriber, for comparison; the same messages in turns.
place    processor time of a placement of 1,000 cameras: from nothing, unchanged, and after the loss of a machine.
simulation  1,000 cameras at 10 frames per second on machines of 4 workers, two of which are lost one after the other.
         The cost of a frame is that of `benchmarks.scaling` on this machine: the total rate of 4 cameras of 640x360.
lost     two workers in processes: time from SIGKILL of one to the first message of its camera from the other.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import measure, parser, report
from benchmarks.wire import blobs_message
from streamseg.cli.fleet_worker import create_worker
from streamseg.config import FleetConfig
from streamseg.fleet.local import local_workers
from streamseg.fleet.placement import Camera, Worker, place
from streamseg.fleet.session import open_fleet, planned_local_workers
from streamseg.fleet.simulation import Failure, SimulatedFleet, num_workers_for, simulate
from streamseg.fleet.worker import CameraWorker
from streamseg.publish import Publisher, Subscriber
from streamseg.publish.proxy import Proxy

ANYWHERE = "tcp://127.0.0.1:0"
FPS, NUM_CAMERAS, PER_HOST = 10.0, 1000, 4
NUM_OBJECTS, SIZE = 30, (720, 1280)
NUM_WARMUPS, NUM_MESSAGES = 50, 400
WARM_SECONDS = 5.0
JPEG_BYTES = 120_000
PARTS = ("camera", "proxy", "place", "simulation", "lost")
SCALING = Path(__file__).with_name("results") / "scaling.json"


def fleet_config(num_cameras: int, num_workers: int, imgsz: int) -> FleetConfig:
    """Return a fleet of rendered scenes."""
    scenes = [
        {"type": "scene", "id": f"c{number}", "width": 640, "height": 360, "fps": FPS, "seed": number}
        for number in range(num_cameras)
    ]
    return FleetConfig.model_validate(
        {
            "workers": [{"name": "w", "count": num_workers}],
            "cameras": scenes,
            "segmentation": {"imgsz": imgsz},
            "publish": {"endpoint": ANYWHERE, "control_endpoint": None},
            "start_seconds": 600,
            "lost_seconds": 60,  # a killed process is noticed at once, a busy machine is not a loss
        }
    )


class Heartbeats:
    """Calls of a worker, each of which names the report before."""

    def __init__(self, worker: CameraWorker) -> None:
        self._worker = worker
        self._heard: tuple[str, int] | None = None

    def __call__(self, cameras: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
        """Send a heartbeat, and return the report."""
        report = self._worker.exchange(self._heard, cameras)
        self._heard = report["incarnation"], report["number"]
        return report


def measure_camera(num_cameras: int, seconds: float, imgsz: int) -> dict[str, Any]:
    """Run cameras on a worker in this process, with a subscriber of all masks."""
    config = fleet_config(num_cameras, 1, imgsz)
    pause = threading.Event()
    with create_worker(config.model_dump(mode="json"), "warning", "text", "127.0.0.1") as worker:
        beat = Heartbeats(worker)
        with Subscriber(beat()["endpoint"]):
            beat([camera.model_dump(mode="json") for camera in config.named_cameras()])
            end = time.monotonic() + WARM_SECONDS
            while time.monotonic() < end:
                pause.wait(1.0)
                beat()
            first, cpu = beat()["cameras"], time.process_time()
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                pause.wait(1.0)
                last = beat()["cameras"]
            cpu = time.process_time() - cpu
    if not all(name in first for name in last):
        raise RuntimeError("a camera was not open from the start")
    num_frames = sum(last[name]["num_frames"] - first[name]["num_frames"] for name in last)
    costs = [one["cost_ms"] for one in last.values() if one["cost_ms"] is not None]
    return {
        "cameras": num_cameras,
        "imgsz": imgsz,
        "frames": num_frames,
        "fps": round(num_frames / seconds, 2),
        "cost_ms": round(float(np.median(costs)), 2) if costs else None,
        "cpu_ms_per_frame": round(cpu * 1000 / num_frames, 2) if num_frames else None,
    }


def measured_cost_ms() -> float:
    """Return the time per frame of a worker that 4 cameras keep busy, from the results of `benchmarks.scaling`."""
    (row,) = [row for row in json.loads(SCALING.read_text(encoding="utf-8"))["cameras"] if row["value"] == 4]
    return round(1000 / row["fps"], 2)


def simulate_wall(cost_ms: float) -> dict[str, object]:
    """Simulate 1,000 cameras of this cost, with two machines that are lost."""
    cameras = tuple(Camera(f"c{number:04}", FPS, cost_ms) for number in range(NUM_CAMERAS))
    num_workers = num_workers_for(cameras, Worker(""), per_host=PER_HOST, num_spare_hosts=1)
    hosts = {f"w{number:03}": f"h{number // PER_HOST:03}" for number in range(num_workers)}
    fleet = SimulatedFleet(cameras, tuple(Worker(name) for name in hosts), hosts)
    failures = [Failure("h000", 20.0, 20.0), Failure("h001", 80.0, 20.0)]
    return {"cost_ms": cost_ms, **simulate(fleet, failures, 140.0, clock_ns=time.thread_time_ns).as_json()}


def measure_proxy() -> dict[str, Any]:
    """Forward messages one by one, and compare the processor time of the threads that send them."""
    message = blobs_message(NUM_OBJECTS, SIZE, 0.01)
    jpeg = bytes(np.random.default_rng(0).integers(0, 256, JPEG_BYTES, dtype=np.uint8))
    found: dict[str, Any] = {"objects": NUM_OBJECTS, "size": list(SIZE), "messages": NUM_MESSAGES}
    for kind, images in (("masks", False), ("image", True)):
        with Publisher(ANYWHERE, encode_image=lambda image: jpeg) as publisher, Proxy(ANYWHERE) as proxy:
            proxy.set_publishers([publisher.endpoint])
            with Subscriber(proxy.endpoint, images=images) as subscriber:
                assert subscriber.wait_connected(60)
                clocks: Mapping[str, Callable[[], float]] = {
                    "proxy": cpu_clock("streamseg proxy"),
                    "publisher": cpu_clock("streamseg publisher"),
                }
                image = np.zeros((*SIZE, 3), np.uint8)
                spent: dict[str, float] = dict.fromkeys(clocks, 0.0)
                for number in range(NUM_WARMUPS + NUM_MESSAGES):
                    before = {name: clock() for name, clock in clocks.items()}
                    publisher.publish(message, image if images else None)
                    assert subscriber.receive(60) is not None
                    if number >= NUM_WARMUPS:
                        for name, clock in clocks.items():
                            spent[name] += clock() - before[name]
        found[kind] = {f"{name}_cpu_ms": round(value * 1000 / NUM_MESSAGES, 4) for name, value in spent.items()}
    return found


def cpu_clock(name: str) -> Callable[[], float]:
    """Return the processor time, in seconds, of the thread of this name."""
    thread = next(one for one in threading.enumerate() if one.name == name)
    assert thread.ident is not None
    clock = time.pthread_getcpuclockid(thread.ident)
    return lambda: time.clock_gettime(clock)


def measure_place() -> dict[str, Any]:
    """Time placements of 1,000 cameras on 100 workers."""
    rng = np.random.default_rng(0)
    cameras = [Camera(f"c{number:04}", FPS, float(cost)) for number, cost in enumerate(rng.uniform(2, 10, NUM_CAMERAS))]
    workers = [Worker(f"w{number:03}") for number in range(100)]
    placed = place(cameras, workers, {})
    candidates = {
        "from_nothing": lambda: place(cameras, workers, {}),
        "unchanged": lambda: place(cameras, workers, placed),
        "machine_lost": lambda: place(cameras, workers[PER_HOST:], placed),
    }
    timings = measure(candidates, num_runs=10, num_warmups=1, clock=time.thread_time)
    return {"cameras": NUM_CAMERAS, "workers": len(workers), **{name: vars(one) for name, one in timings.items()}}


def measure_lost(imgsz: int, wait_seconds: float = 600.0) -> dict[str, Any]:
    """Kill one of two workers, and wait for its camera."""
    config = fleet_config(2, 2, imgsz)
    with (
        open_fleet(
            config, local_workers(config, planned_local_workers(config), create_worker, "warning", "text")
        ) as fleet,
        Subscriber(fleet.endpoint) as subscriber,
    ):
        controller, end = fleet.controller, time.monotonic() + wait_seconds
        thread = threading.Thread(target=controller.run, args=(lambda status: None,), daemon=True)
        thread.start()
        sources: set[str] = set()
        while len(sources) < 2 and time.monotonic() < end:
            if (message := subscriber.receive(1.0)) is not None:
                sources.add(message.source_id)
        assert len(sources) == 2, "the cameras did not start"
        reports = {name: link.report(time.monotonic(), wait_seconds) for name, link in controller.links.items()}
        pids = {camera: one.pid for one in reports.values() if one is not None for camera in one.cameras}
        killed_at, restarts = time.monotonic(), dict(subscriber.restarts)
        os.kill(pids["c0"], signal.SIGKILL)
        while subscriber.restarts["c0"] == restarts["c0"] and time.monotonic() < end:
            subscriber.receive(0.05)
        seconds = time.monotonic() - killed_at
        controller.stop()
        thread.join()
    return {"heartbeat_seconds": config.heartbeat_seconds, "back_seconds": round(seconds, 2)}


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments.add_argument("--cameras", type=int, default=4, help="cameras of the worker (4)")
    arguments.add_argument("--seconds", type=float, default=20.0, help="measured time of the worker (20)")
    arguments.add_argument("--imgsz", type=int, default=640)
    args = arguments.parse_args()
    results: dict[str, Any] = {}
    if "camera" in args.parts:
        results["camera"] = measure_camera(args.cameras, args.seconds, args.imgsz)
    if "proxy" in args.parts:
        results["proxy"] = measure_proxy()
    if "place" in args.parts:
        results["place"] = measure_place()
    if "simulation" in args.parts:
        results["simulation"] = simulate_wall(measured_cost_ms())
    if "lost" in args.parts:
        results["lost"] = measure_lost(args.imgsz)
    for name, values in results.items():
        print(f"{name}: {values}")
    report(results, args.json)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""How a frame's time grows with objects, prompts and image size, and rates and ages with the number of cameras.

python -m benchmarks.scaling [--weights default] [--engine auto] [--plot FILE.png] [--json FILE]

Frames of the rendered scene go through the pipeline of a live run (sharp masks, embeddings, tracking, prompts) and the
encoding of messages, one after the other. All cases take turns within one run. Cameras are scenes of 640x360 at 30 fps
in a run of their own for each number, as in `benchmarks.many_sources`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.harness import Timing, output_file, parser, report
from benchmarks.many_sources.__main__ import NOW, run_turn, source_settings
from benchmarks.scaling_plot import draw
from streamseg.engines import Engine, build_engine, leave_cores
from streamseg.pipeline import Pipeline
from streamseg.segmentation import Segmenter
from streamseg.structures.frame import Frame
from streamseg.structures.prompt import EverythingPrompt, PointPrompt, Prompt
from streamseg.synthetic import SceneRenderer
from streamseg.wire import encode

OBJECTS, PROMPTS, CAMERAS = (1, 10, 30, 100, 300), (1, 10, 100, 1000), (1, 2, 4, 8, 16)
SIZES = ((360, 640), (720, 1280), (1080, 1920), (2160, 3840))
"""(H, W)."""
NUM_OBJECTS, SIZE = 30, (720, 1280)
"""Objects and size where neither is varied."""
NUM_WARMUPS = 4
CONF = 0.001
"""Low, so that the number of objects is that of the case, whatever the weights."""


@dataclass(frozen=True)
class Case:
    """One point of a plot."""

    plot: str
    value: int
    """The number that is varied; of sizes, the height."""
    size: tuple[int, int] = SIZE
    num_objects: int = NUM_OBJECTS
    num_prompts: int = 0
    """Number of point prompts; 0: everything."""

    def prompts(self) -> Sequence[Prompt]:
        """Return the prompts, at points spread evenly over the image."""
        if not self.num_prompts:
            return (EverythingPrompt(),)
        points = np.random.default_rng(0).uniform((0, 0), self.size[::-1], (self.num_prompts, 2)).tolist()
        return [PointPrompt(f"p{number}", ((x, y),), (1,)) for number, (x, y) in enumerate(points)]


class Runner:
    """The pipeline of one case, and its times."""

    def __init__(self, case: Case, engine: Engine) -> None:
        self.case = case
        segmenter = Segmenter(engine=engine, conf=CONF, expected_conf=1.0, max_det=case.num_objects, embeddings=True)
        self._pipeline = Pipeline(segmenter, prompts=case.prompts())
        self._scene = SceneRenderer(case.size[1], case.size[0], num_objects=20, seed=11)
        self._seconds: list[float] = []
        self._network_seconds: list[float] = []
        self._num_objects: list[int] = []

    def run(self, index: int) -> None:
        """Process the next frame."""
        image = self._scene.render(index)
        frame = Frame(image, "scene", index, index / 30, time.time_ns(), "driver", time.monotonic_ns())
        started = time.perf_counter()
        (instances,) = self._pipeline.segment([frame])
        encode(self._pipeline.finish(frame, instances).message)
        ended = time.perf_counter()
        if index >= NUM_WARMUPS:
            self._seconds.append(ended - started)
            self._network_seconds.append(self._pipeline.timer.stages["network"].last / 1000)
            self._num_objects.append(len(instances))

    def result(self) -> dict[str, Any]:
        """Return the measurements."""
        rest = [whole - network for whole, network in zip(self._seconds, self._network_seconds, strict=True)]
        return {
            "plot": self.case.plot,
            "value": self.case.value,
            "num_objects": float(np.mean(self._num_objects)),
            "frame_ms": Timing.of(self._seconds),
            "network_ms": Timing.of(self._network_seconds),
            "rest_ms": Timing.of(rest),
        }


def cases() -> list[Case]:
    """Return all cases of single frames."""
    return [
        *(Case("objects", number, num_objects=number) for number in OBJECTS),
        *(Case("prompts", number, num_prompts=number) for number in PROMPTS),
        *(Case("size", size[0], size=size) for size in SIZES),
    ]


def cameras(num_cameras: int, seconds: float) -> dict[str, Any]:
    """Run a number of cameras, and return their rate and ages."""
    sources = [source_settings("scene", number, [], (360, 640), 30.0) for number in range(num_cameras)]
    turn = run_turn(NOW, sources, seconds, 3.0, {})
    worst = max(source["p95"] or float("nan") for source in turn["sources"].values())
    return {"value": num_cameras, "fps": turn["fps"], "age_ms": turn["age_ms"], "worst_age_p95_ms": worst}


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--weights", default="default")
    arguments.add_argument("--engine", default="auto")
    arguments.add_argument("--frames", type=int, default=20, help="measured frames of each case (20)")
    arguments.add_argument("--seconds", type=float, default=5.0, help="measured part of each number of cameras (5)")
    arguments.add_argument("--plot", type=output_file, default=None, metavar="FILE", help="write a plot (PNG)")
    args = arguments.parse_args()
    engine = build_engine(args.weights, engine=args.engine)
    leave_cores(engine)  # as in a run
    runners = [Runner(case, engine) for case in cases()]
    for index in range(NUM_WARMUPS + args.frames):
        for runner in runners:
            runner.run(index)
    frames = [runner.result() for runner in runners]
    for one in frames:
        print(f"{one['plot']:>8} {one['value']:5}: network {one['network_ms'].p50:6.1f} ms,", end="")
        print(f" rest p50 {one['rest_ms'].p50:6.1f} p95 {one['rest_ms'].p95:6.1f} ms", flush=True)
    by_cameras = []
    for number in CAMERAS:
        by_cameras.append(cameras(number, args.seconds))
        print(
            f" cameras {number:5}: {by_cameras[-1]['fps']:.1f} fps, age p50 {by_cameras[-1]['age_ms']['p50']:.0f}",
            end="",
        )
        print(f" p95 {by_cameras[-1]['age_ms']['p95']:.0f} ms", flush=True)
    name = f"{engine.name} on {engine.device}" + (", 8 bits" if getattr(engine, "is_quantized", False) else "")
    if args.plot is not None:
        draw(frames, by_cameras, name, args.plot)
    report({"benchmark": "scaling", "engine": name, "frames": frames, "cameras": by_cameras}, args.json)


if __name__ == "__main__":
    main()

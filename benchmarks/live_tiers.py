"""What rate a live run keeps with a quality or memory tier at its true size, against the same run without it, in turns.

python -m benchmarks.live_tiers [--systems NAME,...] [--seconds 8] [--rounds 2] [--budget-ms 20] [--niceness 10]
    [--json FILE]

Each system works in a process of its own: the default network on the rendered scene (1280 x 720, 30 frames per second,
live), with one followed box, through the threads of a run. Runs without and with the tier alternate, so that ratios
hold on a busy machine. A tier that is slower than its budget works in the background, with the niceness of a run.
Weights are the official ones if `streamseg tiers` finds them, otherwise random: then only rates, ages and the number of
masks by source mean something, not the masks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Final

import numpy as np

from benchmarks.harness import parser, report
from benchmarks.systems.models import SYSTEMS, System, opened_promptable, opened_video
from streamseg.capture.scene import RenderedScene
from streamseg.cli.entry import leave
from streamseg.config import SceneSource, SegmentationConfig
from streamseg.engines import leave_cores
from streamseg.pipeline import FrameResult, Pipeline
from streamseg.pipeline.segment_function import SegmentFunction
from streamseg.runtime import Runtime
from streamseg.runtime.background import BackgroundThread
from streamseg.segmentation import Segmenter
from streamseg.structures.prompt import BoxPrompt
from streamseg.tiers import Tiers
from streamseg.tiers.memory import SessionMemoryTier
from streamseg.tiers.quality.tier import PromptableQualityTier

__all__ = ["compared", "live_run", "main"]

DEFAULT_SYSTEMS: Final = ("mobile-sam", "efficient-sam-s", "edgetam", "sam2.1-tiny")
SCENE: Final = SceneSource(id="scene", width=1280, height=720, fps=30.0, mode="live")
PROMPT: Final = "target"
BACKGROUND_SECONDS: Final = 60.0
"""Time for one run of a model at most; the slowest here takes 20 s."""


class CountingSink:
    """Counts the messages of a run, and where the masks of its prompt come from."""

    def __init__(self) -> None:
        self.indices: list[int] = []
        self.mask_sources: Counter[str] = Counter()

    def write(self, result: FrameResult) -> None:
        """Count one message."""
        self.indices.append(result.frame.index)
        status = result.message.prompt(PROMPT)
        self.mask_sources[(status.mask_source if status is not None else None) or "none"] += 1

    def close(self) -> None:
        """Nothing is held."""


def main(arguments: list[str] | None = None) -> int:
    flags = parser(__doc__)
    names = [one.name for one in SYSTEMS if one.kind != "network"]
    flags.add_argument("--systems", default=",".join(DEFAULT_SYSTEMS), help=f"names, of {', '.join(names)}")
    flags.add_argument("--seconds", type=float, default=8.0, help="duration of each run (8)")
    flags.add_argument("--rounds", type=int, default=2, help="turns of each pair of runs (2)")
    flags.add_argument("--budget-ms", type=float, default=20.0)
    flags.add_argument("--niceness", type=int, default=10, help="of the background; 0: an ordinary thread (10)")
    flags.add_argument("--child", help=argparse.SUPPRESS)
    options = flags.parse_args(arguments)
    if options.child is not None:
        print(json.dumps(_measured(options)), flush=True)
        leave(0)
    wanted = options.systems.split(",")
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        flags.error(f"unknown systems {', '.join(unknown)}; known are {', '.join(names)}")
    settings = {"seconds": options.seconds, "rounds": options.rounds, "budget_ms": options.budget_ms}
    settings["niceness"] = options.niceness
    results = {}
    for name in wanted:
        flag_list = [word for key, value in settings.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        command = [sys.executable, "-m", "benchmarks.live_tiers", "--child", name, *flag_list]
        done = subprocess.run(command, capture_output=True, text=True)
        lines = done.stderr.strip().splitlines()
        if done.returncode:
            results[name] = {"missing": lines[-1] if lines else f"exit code {done.returncode}"}
        else:
            results[name] = json.loads(done.stdout.splitlines()[-1])
        print(_row(name, results[name]), flush=True)
    report(
        {"benchmark": "live_tiers", **settings, "scene": SCENE.model_dump(mode="json"), "systems": results},
        options.json,
    )
    return 0


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one system."""
    import torch

    torch.set_grad_enabled(False)
    system = next(one for one in SYSTEMS if one.name == options.child)
    segmenter = Segmenter.from_config(SegmentationConfig(device="cpu"), embeddings=True)
    leave_cores(segmenter.engine)
    open_tiers, weights = _tiers(system, options.budget_ms, options.niceness)
    turns = []
    for _ in range(options.rounds):
        for kind, make in (("without", lambda stack: Tiers()), ("with", open_tiers)):
            with ExitStack() as stack:
                turns.append({"tier": kind, **live_run(segmenter, make(stack), options.seconds)})
            _wait_for_background()
    return {"weights": weights, "turns": turns, **compared(turns)}


def _wait_for_background() -> None:
    """Wait until work that the end of a run has abandoned is done: it would slow down the next turn."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.daemon:
            thread.join(BACKGROUND_SECONDS)


def _tiers(system: System, budget_ms: float, niceness: int) -> tuple[Callable[[ExitStack], Tiers], str]:
    """Return what opens the tier of a system, whose resources a stack closes, and the weights of its model."""
    if system.kind == "video":
        video_model, folder = opened_video(system)

        def open_memory(stack: ExitStack) -> Tiers:
            tier = SessionMemoryTier(video_model, name=system.name, budget_ms=budget_ms)
            tier.warm_up()
            return Tiers(memory=tier)

        return open_memory, "random" if folder is None else str(folder)
    model, folder = opened_promptable(system)

    def open_quality(stack: ExitStack) -> Tiers:
        start = stack.enter_context(BackgroundThread(niceness=niceness)).submit
        return Tiers(quality=PromptableQualityTier(model, name=system.name, budget_ms=budget_ms, start=start))

    return open_quality, "random" if folder is None else str(folder)


def live_run(segmenter: SegmentFunction, tiers: Tiers, seconds: float, scene: SceneSource = SCENE) -> dict[str, Any]:
    """Run the scene through a pipeline with a followed box for some seconds, and return what was published and when."""
    source = RenderedScene(scene)
    truth = source.renderer.truth(0)
    largest = int(np.argmax([mask.area for mask in truth.masks]))
    x0, y0, x1, y1 = (float(value) for value in truth.boxes[largest])
    pipeline = Pipeline(segmenter, prompts=(BoxPrompt(PROMPT, (x0, y0, x1, y1)),), tiers=tiers)
    sink = CountingSink()
    begun = time.process_time()
    with Runtime([source], pipeline, [sink]) as runtime:
        stats = runtime.run(duration_seconds=seconds)
    return {
        "fps": round(stats.fps, 2),
        "age_p50_ms": round(stats.ages.p50_ms, 1),
        "age_p95_ms": round(stats.ages.p95_ms, 1),
        "finished": stats.num_frames,
        "published": len(sink.indices),
        "in_order": sink.indices == sorted(set(sink.indices)),
        "dropped": stats.drops,
        "cpu_ms_per_frame": round((time.process_time() - begun) * 1e3 / max(stats.num_frames, 1), 1),
        "stages_ms": stats.stages_ms,
        "mask_source": dict(sink.mask_sources),
        "counts": {one.tier: dict(one.counts) for one in stats.tiers},
    }


def compared(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Return medians over the turns without and with the tier, and the ratios of rate and age."""
    medians = {}
    for kind in ("without", "with"):
        own = [turn for turn in turns if turn["tier"] == kind]
        medians[kind] = {key: round(float(np.median([turn[key] for turn in own])), 2) for key in ("fps", "age_p95_ms")}
    plain, tier = medians["without"], medians["with"]
    masks: Counter[str] = Counter()
    for turn in turns:
        if turn["tier"] == "with":
            masks.update(turn["mask_source"])
    return {
        "without": plain,
        "with": tier,
        "fps_ratio": round(tier["fps"] / plain["fps"], 3) if plain["fps"] else None,
        "age_p95_ratio": round(tier["age_p95_ms"] / plain["age_p95_ms"], 3) if plain["age_p95_ms"] else None,
        "mask_source": dict(masks),
        "all_published": all(turn["published"] == turn["finished"] and turn["in_order"] for turn in turns),
    }


def _row(name: str, figures: dict[str, Any]) -> str:
    """Return the figures of one system in one line."""
    if "missing" in figures:
        return f"{name:18} missing: {figures['missing']}"
    plain, tier = figures["without"], figures["with"]
    return (
        f"{name:18} {figures['weights']} weights: {plain['fps']:.1f} fps without, {tier['fps']:.1f} with the tier (x"
        f" {figures['fps_ratio']}); age p95 {plain['age_p95_ms']:.0f} and {tier['age_p95_ms']:.0f} ms;"
        f" {'all' if figures['all_published'] else 'NOT all'} finished frames published in order; masks"
        f" {figures['mask_source']}"
    )


if __name__ == "__main__":
    sys.exit(main())

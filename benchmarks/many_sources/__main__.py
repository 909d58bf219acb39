"""Rates and ages of 1 to 16 live sources, as rendered scenes and as H.264 over RTSP, on the cores of this machine.

Each turn is a run in a process of its own; turns alternate, so that ratios hold on a busy machine. `--against FOLDER`
runs each turn with another checkout, too, such as a git worktree of an earlier commit.

Wanted with 16 sources: a total rate of at least 0.9 times that of one; of each source, an age p95 of at most 16 times
one network time plus 100 ms; and no source without frames. Cores are used by the cameras, too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import parser, report
from benchmarks.many_sources.cameras import cameras

TURN = Path(__file__).with_name("turn.py")
NOW = Path(__file__).parents[2]
"""This checkout."""
NUM_FILES = 4
"""Number of different files; more cameras serve them again."""
MARGIN_MS = 100.0
MIN_RATE = 0.9


def main() -> int:
    arguments = parser(__doc__)
    arguments.add_argument("--kinds", nargs="+", choices=("scene", "rtsp"), default=("scene", "rtsp"))
    arguments.add_argument("--counts", type=int, nargs="+", default=(1, 4, 16), help="numbers of sources (1 4 16)")
    arguments.add_argument("--size", type=int, nargs=2, default=(360, 640), help="height and width (360 640)")
    arguments.add_argument("--fps", type=float, default=30.0, help="rate of each source (30)")
    arguments.add_argument("--key-every", type=int, default=60, help="frames between keyframes of the files (60)")
    arguments.add_argument("--seconds", type=float, default=12.0, help="measured part of each turn (12)")
    arguments.add_argument("--warmup-seconds", type=float, default=4.0)
    arguments.add_argument("--rounds", type=int, default=2, help="turns of each case (2)")
    arguments.add_argument("--against", type=Path, default=None, metavar="FOLDER", help="another checkout")
    arguments.add_argument("--config", type=json.loads, default={}, help="further sections, as JSON")
    args = arguments.parse_args()
    trees = {"now": NOW, **({"before": args.against} if args.against is not None else {})}
    turns: list[dict[str, Any]] = []
    for kind in args.kinds:
        size = (args.size[0], args.size[1])
        served = cameras(NUM_FILES, size, args.fps, args.key_every) if kind == "rtsp" else nullcontext([])
        with served as addresses:
            for _ in range(args.rounds):
                for num_sources in args.counts:
                    sources = [
                        source_settings(kind, number, addresses, size, args.fps) for number in range(num_sources)
                    ]
                    for tree, folder in trees.items():
                        turn = run_turn(folder, sources, args.seconds, args.warmup_seconds, args.config)
                        turns.append({"kind": kind, "tree": tree, "num_sources": num_sources, **turn})
                        print(_line(turns[-1]), flush=True)
    summaries = _summaries(turns)
    for summary in summaries:
        print(_verdict(summary))
    report({"benchmark": "many_sources", "turns": turns, "summaries": summaries}, args.json)
    return 0


def source_settings(kind: str, number: int, addresses: list[str], size: tuple[int, int], fps: float) -> dict[str, Any]:
    """Return the settings of one camera."""
    if kind == "rtsp":
        return {"type": "stream", "url": addresses[number % len(addresses)]}
    return {"type": "scene", "height": size[0], "width": size[1], "fps": fps, "seed": number}


def run_turn(
    folder: Path, sources: list[dict[str, Any]], seconds: float, warmup_seconds: float, config: dict[str, Any]
) -> dict[str, Any]:
    """Return the figures of one turn with the package of a checkout."""
    settings = {"sources": sources, "seconds": seconds, "warmup_seconds": warmup_seconds, "config": config}
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [sys.executable, str(TURN), json.dumps(settings)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _line(turn: dict[str, Any]) -> str:
    frames = [source["num_frames"] for source in turn["sources"].values()]
    p95 = [source["p95"] or float("nan") for source in turn["sources"].values()]
    age = turn["age_ms"]
    return (
        f"{turn['kind']:>5} {turn['tree']:>6} {turn['num_sources']:3} sources {turn['fps']:6.1f} fps"
        f"  {turn['frames_per_cpu_second']:5.1f} frames per CPU s  {turn['cores_used']:4.2f} cores"
        f"  capture {turn['capture_share']:5.1%}  age p50 {age['p50'] or float('nan'):6.0f} p95"
        f" {age['p95'] or float('nan'):6.0f} (worst source {max(p95):6.0f}) ms"
        f"  network {turn['stages_ms']['network']:5.1f} ms  frames per source {min(frames)}..{max(frames)}"
    )


def _summaries(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare the turns of most sources with those of one, by kind and checkout."""
    summaries = []
    for kind, tree in dict.fromkeys((turn["kind"], turn["tree"]) for turn in turns):
        of_case = [turn for turn in turns if (turn["kind"], turn["tree"]) == (kind, tree)]
        most = max(turn["num_sources"] for turn in of_case)
        one = [turn for turn in of_case if turn["num_sources"] == 1]
        many = [turn for turn in of_case if turn["num_sources"] == most]
        if most == 1 or not one:
            continue
        network_ms = float(np.median([turn["stages_ms"]["network"] for turn in one]))
        worst = [max(source["p95"] or float("inf") for source in turn["sources"].values()) for turn in many]
        summaries.append(
            {
                "kind": kind,
                "tree": tree,
                "num_sources": most,
                "rate": _ratio(many, one, "fps"),
                "rate_per_cpu": _ratio(many, one, "frames_per_cpu_second"),
                "worst_age_p95_ms": round(float(np.median(worst)), 1),
                "bound_ms": round(most * network_ms + MARGIN_MS, 1),
                "fewest_frames": min(source["num_frames"] for turn in many for source in turn["sources"].values()),
                "most_frames": max(source["num_frames"] for turn in many for source in turn["sources"].values()),
            }
        )
    return summaries


def _ratio(many: list[dict[str, Any]], one: list[dict[str, Any]], name: str) -> float:
    """Return the median ratio of neighbouring turns."""
    return round(float(np.median([a[name] / b[name] for a, b in zip(many, one, strict=True)])), 3)


def _verdict(of: dict[str, Any]) -> str:
    rate = f"rate {of['rate']:.2f} times that of one (per CPU second {of['rate_per_cpu']:.2f}, wanted {MIN_RATE})"
    age = f"age p95 of the worst source {of['worst_age_p95_ms']:.0f} ms (wanted {of['bound_ms']:.0f})"
    frames = f"frames per source {of['fewest_frames']}..{of['most_frames']}"
    return f"{of['kind']} {of['tree']}: {of['num_sources']} sources: {rate}; {age}; {frames}"


if __name__ == "__main__":
    sys.exit(main())

"""What does a picture of the built-in scene cost, and its exact masks? One core.

python benchmarks/scene.py [--num-objects 10] [--num-frames 300] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import cv2
import numpy as np

from streamseg.capture.scene import SceneRenderer

SIZES = ((640, 360), (1280, 720), (1920, 1080))


def measure(width: int, height: int, num_objects: int, num_frames: int, seed: int) -> dict[str, object]:
    """Milliseconds to build the scene, and percentiles for one picture and for its truth."""
    started = time.perf_counter()
    scene = SceneRenderer(width, height, num_objects=num_objects, seed=seed)
    built = time.perf_counter()
    times: dict[str, list[float]] = {"render": [], "truth": []}
    # Far apart, so that many arrangements are seen and not one over and over.
    for index in range(0, num_frames * 11, 11):
        for name, run in (("render", scene.render), ("truth", scene.truth)):
            begin = time.perf_counter()
            run(index)
            times[name].append((time.perf_counter() - begin) * 1e3)
    result: dict[str, object] = {
        "size": f"{width}x{height}",
        "seed": seed,
        "build_ms": round((built - started) * 1e3, 1),
    }
    for name, values in times.items():
        result[f"{name}_ms"] = [round(float(value), 2) for value in np.percentile(values, [50, 95, 99])]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num-objects", type=int, default=10)
    parser.add_argument("--num-frames", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    machine = (
        f"{platform.machine()} {platform.system()}, python {platform.python_version()}, "
        f"numpy {np.__version__}, opencv {cv2.__version__}"
    )
    print(f"{machine}; {arguments.num_objects} objects, {arguments.num_frames} pictures, ms at p50 p95 p99")
    results = []
    for width, height in SIZES:
        result = measure(width, height, arguments.num_objects, arguments.num_frames, arguments.seed)
        results.append(result)
        print(*(f"{key}={value}" for key, value in result.items()))
    if arguments.json:
        report = {"machine": machine, "num_objects": arguments.num_objects, "results": results}
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()

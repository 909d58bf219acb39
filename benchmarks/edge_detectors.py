"""Check the edge protocol: do Sobel and Canny score as reported in the literature?

python -m benchmarks.edge_detectors [--data FOLDER] [--limit N] [--json FILE]

Reads the folder `eval-edges` of the data (--data, or the environment variable STREAMSEG_DATA). The literature's
ODS on the 200 test images of BSDS500: Sobel .539, Canny .600 (OIS .640, AP .580), as in FastSAM's table 2. Both
detectors run on the blurred grey image; their lines are the maxima of the gradient along its direction.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from benchmarks.harness import DATA, parser, report
from streamseg.cli.terminal import ProgressBar
from streamseg.evaluation.edge_maps import sobel, suppress
from streamseg.evaluation.edges import THRESHOLDS, evaluate_detector
from streamseg.evaluation.results import result_fields

SOBEL_SIGMA_PX = 0.7
"""Sigma of the 3x3 binomial filter. The literature gives none; with 1 px, Sobel reaches .563."""
CANNY_SIGMA_PX = 2.0
"""Fixed before any run; the literature gives none with its figure."""
HYSTERESIS = 0.4
"""Canny's lower threshold as a share of the upper one; the usual choice."""


def gradient_lines(image: np.ndarray, *, sigma_px: float) -> np.ndarray:
    """Return the gradient maxima of an image (H, W, 3), float32 (H, W), normalised by the largest one."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    magnitude, x, y = sobel(grey if sigma_px == 0 else cv2.GaussianBlur(grey, (0, 0), sigma_px))
    lines = suppress(magnitude, np.stack([x, y]) / np.maximum(magnitude, 1e-12))
    return lines / max(float(lines.max()), 1e-12)


def with_hysteresis(lines: np.ndarray) -> np.ndarray:
    """Add weaker lines connected to lines that reach a threshold; the sets are nested, so one map encodes them all."""
    joined = np.zeros_like(lines)
    for threshold in THRESHOLDS:
        _, labels = cv2.connectedComponents((lines >= HYSTERESIS * threshold).astype(np.uint8))
        reached = np.unique(labels[lines >= threshold])
        joined[np.isin(labels, reached[reached > 0])] = threshold
    return joined


def canny(image: np.ndarray, *, sigma_px: float) -> np.ndarray:
    return with_hysteresis(gradient_lines(image, sigma_px=sigma_px))


def main() -> int:
    flags = parser(__doc__)
    flags.add_argument("--data", type=Path, default=DATA)
    flags.add_argument("--limit", type=int, default=None, metavar="N", help="use the first N images only")
    flags.add_argument("--sobel-sigma", type=float, nargs="*", default=[SOBEL_SIGMA_PX], metavar="PX")
    flags.add_argument("--canny-sigma", type=float, nargs="*", default=[CANNY_SIGMA_PX], metavar="PX")
    args = flags.parse_args()
    detectors: dict[str, tuple[float, Callable[[np.ndarray], np.ndarray]]] = {}
    for sigma_px in args.sobel_sigma:
        detectors[f"Sobel, blur {sigma_px:g} px"] = (0.539, partial(gradient_lines, sigma_px=sigma_px))
    for sigma_px in args.canny_sigma:
        detectors[f"Canny, blur {sigma_px:g} px"] = (0.600, partial(canny, sigma_px=sigma_px))
    rows = []
    print(f"{'detector':18} {'literature':>10} {'ODS':>6} {'OIS':>6} {'AP':>6} {'R50':>6} {'seconds':>8}")
    for name, (published, detect) in detectors.items():
        bar = ProgressBar("images")
        started = time.perf_counter()
        scores = evaluate_detector(
            detect, args.data / "eval-edges", limit=args.limit, on_image=lambda done, _, bar=bar: bar.update(done)
        )
        bar.close()
        seconds = round(time.perf_counter() - started, 1)
        rows.append({"detector": name, "published_ods": published, "seconds": seconds, **result_fields(scores)})
        print(
            f"{name:18} {published:10.3f} {scores.ods:6.3f} {scores.ois:6.3f} {scores.average_precision:6.3f}"
            f" {scores.recall_at_half_precision:6.3f} {seconds:8.1f}",
            flush=True,
        )
    report({"benchmark": "edge_detectors", "rows": rows}, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Compare streamseg with the reference packages, quantity by quantity.

python -m benchmarks.fidelity [--json FILE]

The reference's results are the golden files of tests/golden/reference (see the README there): ultralytics 8.0.120,
which the official FastSAM repository bundles, 8.2.60, one of the last releases with FastSAMPrompt, and 8.4.190. Both
sides use the same seeded network weights; candidates, masks and prompts are scripted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from benchmarks.harness import parser, report
from streamseg.fastsam.reference_drawing import contour_pixels, topmost_rows
from streamseg.fastsam.reference_masks import native_masks, plain_masks, snap_full_image, stacked
from streamseg.fastsam.reference_selection import best_rows_for_boxes, better_quality, merged_points, rows_for_points
from streamseg.structures.mask import CropMask
from tests.golden.reference import scripted
from tests.support import fidelity, fidelity_masks
from tests.support.fidelity import LAST_WITH_PROMPTER, OFFICIAL, PRESENT, VERSIONS, Arithmetic, golden
from tests.support.fidelity_masks import Kind


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    quantity: str
    tolerance: str
    s: str
    """Measured value; the only column for quantities that involve no network."""
    x: str = ""


def network_rows() -> Iterator[Row]:
    """Compare head outputs before suppression: FastSAM-s (16 bins) and FastSAM-x (26)."""
    runs = (("s_square", OFFICIAL), ("x_square", OFFICIAL))
    wide, identity = ("s_wide", OFFICIAL), ("s_identity", PRESENT)

    def row(text: str, tolerance: str, arithmetic: Arithmetic, quantity: str, num_runs: int = 2) -> Row:
        found = [
            fidelity.network_differences(fidelity.predictions(name)[arithmetic], name, version)[quantity]
            for name, version in runs[:num_runs]
        ]
        return Row(text, tolerance, *(f"{difference:.1e}" for difference in found))

    for quantity, text in (
        ("boxes_px", "boxes, input pixels"),
        ("scores", "scores"),
        ("coefficients", "mask coefficients"),
        ("prototypes", "prototypes"),
    ):
        yield row(f"head, float32: {text}", "1e-4", "float32", quantity)
    yield row("head, float64: boxes, input pixels", "1e-4", "float64", "exact_boxes_px")
    for quantity, text in (
        ("exact_boxes_cells", "boxes, cells of 8 to 32 pixels, from float64"),
        ("scores", "scores"),
        ("coefficients", "mask coefficients"),
        ("prototypes", "prototypes"),
    ):
        yield row(f"head, float32, batch norms folded: {text}", "1e-4", "folded", quantity)
    yield row("  the same boxes, input pixels", "none", "folded", "boxes_px")
    own = [fidelity.own_differences(name, version)["boxes_px"] for name, version in runs]
    yield Row(
        "  the reference's boxes with and without folding, input pixels",
        "none",
        *(f"{difference:.1e}" for difference in own),
    )
    for text, (name, version) in (("rectangular, two images", wide), ("no activation in SPPF", identity)):
        differences = fidelity.network_differences(fidelity.predictions(name)["float32"], name, version)
        worst = max(differences[quantity] for quantity in ("boxes_px", "scores", "coefficients", "prototypes"))
        yield Row(f"head, float32, {text}: the largest of the four", "1e-4", f"{worst:.1e}")


def detection_rows() -> Iterator[Row]:
    """Compare the detections after suppression."""
    for setting_name, (conf, iou, max_det) in scripted.NMS_SETTINGS.items():
        objects = [
            fidelity.detection_differences(fidelity.predictions(name)["folded"], name, OFFICIAL)[f"{setting_name}/0"]
            for name in ("s_square", "x_square")
        ]
        texts = [f"{'same' if found.same_rows else 'other'} {found.num_objects}" for found in objects]
        yield Row(f"objects of the network, conf {conf} iou {iou} max_det {max_det}", "same rows", *texts)
    for version in VERSIONS:
        found = [
            fidelity.candidate_difference(name, setting, version)
            for name in scripted.candidates()
            for setting in scripted.NMS_SETTINGS
        ]
        same, but_for_ties = (sum(column) for column in zip(*found, strict=True))
        note = f" ({but_for_ties - same} but for the order of equal scores)" if but_for_ties != same else ""
        yield Row(f"scripted candidates, {version}", "same rows", f"{but_for_ties} of {len(found)}{note}")


def letterbox_rows() -> Iterator[Row]:
    """Compare the bytes of the network input."""
    for version in (OFFICIAL, PRESENT):
        for shape in ("auto", "square"):
            found = [fidelity.letterbox_difference(name, shape, version) for name in scripted.LETTERBOXES]  # type: ignore[arg-type]
            same = sum(difference is not None and difference.same_bytes for difference in found)
            yield Row(f"letterbox, {shape}, {version}", "same bytes", f"{same} of {len(found)} sizes")


def mask_rows(causes: dict[str, dict[str, object]]) -> Iterator[Row]:
    """Compare masks; add the number of differing pixels by cause to `causes`."""
    kinds: tuple[tuple[Kind, str], ...] = (("native", "retina masks"), ("plain", "plain masks"))
    for kind, text in kinds:
        for version in VERSIONS:
            found = {name: fidelity_masks.mask_difference(name, kind, version) for name in scripted.MASK_SCENES}
            alike = [name for name, difference in found.items() if difference.mean_iou >= 0.995]
            unexplained = sum(difference.unexplained for difference in found.values())
            yield Row(
                f"{text}, {version}: mean IoU as they are, at 720p",
                "0.995" if "hd_720" in alike else "by cause",
                f"{found['hd_720'].mean_iou:.4f}",
            )
            yield Row(f"{text}, {version}: pixels without a known cause, {len(found)} sizes", "0", str(unexplained))
            for name, difference in found.items():
                causes[f"{kind} {version} {name}"] = _figures(difference)


def network_mask_rows(causes: dict[str, dict[str, object]]) -> Iterator[Row]:
    """Compare masks of the networks' objects. Random prototypes are rugged, so rules matter more than usual."""
    for version in (OFFICIAL, PRESENT):
        found = {
            name: fidelity_masks.network_mask_difference(fidelity.predictions(name)["folded"], name, version)
            for name in ("s_wide", "x_square")
        }
        yield Row(
            f"masks of the network's objects, {version}: mean IoU as they are",
            "by cause",
            *(f"{difference.mean_iou:.4f}" for difference in found.values()),
        )
        yield Row(
            f"masks of the network's objects, {version}: pixels without a known cause",
            "2e-4",
            *(f"{difference.unexplained / difference.num_pixels:.1e}" for difference in found.values()),
        )
        for name, difference in found.items():
            causes[f"network {version} {name}"] = _figures(difference)


def _figures(difference: fidelity_masks.MaskDifference) -> dict[str, object]:
    return {
        "mean_iou": round(difference.mean_iou, 4),
        "pixels": difference.num_pixels,
        **difference.causes,
        "unexplained": difference.unexplained,
    }


def fastsam_mode_rows() -> Iterator[Row]:
    """Compare FastSAM mode, which reproduces the reference bug for bug."""
    makers: tuple[tuple[Kind, Callable[..., list[CropMask]]], ...] = (("native", native_masks), ("plain", plain_masks))
    for kind, make in makers:
        ious = []
        for name in scripted.MASK_SCENES:
            scene = scripted.mask_scene(name)
            instances = fidelity_masks.scene_instances(scene, kind, LAST_WITH_PROMPTER)
            theirs = fidelity_masks.golden_masks(scene, kind, LAST_WITH_PROMPTER)
            ious.append(fidelity_masks.mask_ious(stacked(make(instances), instances.image_size), theirs))
        yield Row(
            f"FastSAM mode, {kind} masks, {LAST_WITH_PROMPTER}: mean IoU over {len(ious)} sizes",
            "0.995",
            f"{np.concatenate(ious).mean():.5f}",
        )
    older, present = golden("prompts", LAST_WITH_PROMPTER), golden("prompts", PRESENT)
    masks = older["masks"]

    def share(text: str, agreements: list[bool]) -> Row:
        return Row(f"FastSAM mode, {text}", "all", f"{sum(agreements)} of {len(agreements)}")

    yield share(
        "points, official merged canvas",
        [
            bool((merged_points(masks, case.points, case.labels) == older[f"points/{name}/official"]).all())
            for name, case in scripted.POINT_CASES.items()
        ],
    )
    yield share(
        f"points, rows of {PRESENT}",
        [
            rows_for_points(masks, case.points, case.labels) == present[f"points/{name}/rows"].tolist()
            for name, case in scripted.POINT_CASES.items()
        ],
    )
    yield share(
        "boxes, best mask",
        [
            best_rows_for_boxes(masks, [box]) == [row]
            for box, row in zip(scripted.BOXES.values(), older["boxes/rows"].tolist(), strict=True)
        ],
    )
    size = (int(older["full_image/size"][0]), int(older["full_image/size"][1]))
    recorded = [name for name in scripted.FULL_IMAGE_CASES if f"full_image/{name}/after" in older]
    yield share(
        "full-image boxes (without the case in which the reference raises)",
        [
            np.allclose(
                snap_full_image(torch.from_numpy(older[f"full_image/{name}/before"]), size).numpy(),
                older[f"full_image/{name}/after"],
                atol=1e-4,
            )
            for name in recorded
        ],
    )
    after = np.stack([better_quality(mask) for mask in older["quality/before"]])
    yield share("better_quality", (after == older["quality/after"]).all(axis=(1, 2)).tolist())
    contours = contour_pixels([_whole(mask) for mask in older["quality/after"]], scripted.QUALITY_SIZE)
    yield share("contours", [bool((contours == older["quality/contours"]).all())])
    rows = topmost_rows([_whole(mask) for mask in older["plot/masks"]], scripted.PROMPT_SIZE)
    yield share("which mask is on top", [bool((rows == older["plot/rows"]).all())])


def _whole(mask: fidelity_masks.Masks) -> CropMask:
    return CropMask(mask, 0, 0)


def main() -> None:
    """Measure, print and write the table."""
    arguments = parser(__doc__)
    args = arguments.parse_args()
    causes: dict[str, dict[str, object]] = {}
    table = [
        *network_rows(),
        *detection_rows(),
        *network_mask_rows(causes),
        *mask_rows(causes),
        *letterbox_rows(),
        *fastsam_mode_rows(),
    ]
    width = max(len(row.quantity) for row in table)
    for row in [Row("golden quantity", "tolerance", "s", "x"), *table]:
        print(f"{row.quantity:<{width}}  {row.tolerance:<10} {row.s:<12} {row.x}".rstrip())
    print("\nMasks: mean IoU, and the pixels that change as our rules are replaced by the reference's one by one:")
    for where, figures in causes.items():
        print(f"{where:<30} " + ", ".join(f"{name} {figure}" for name, figure in figures.items()))
    report({"benchmark": "fidelity", "table": table, "masks": causes}, args.json)


if __name__ == "__main__":
    main()

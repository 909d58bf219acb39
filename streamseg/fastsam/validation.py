"""Measuring a model on labelled data as in the originals, by the package's own evaluation."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

from streamseg.datasets.problems import Problems
from streamseg.datasets.yolo_yaml import Split
from streamseg.errors import ConfigError
from streamseg.evaluation.proposals import evaluate_proposals
from streamseg.fastsam.data import find_data
from streamseg.fastsam.keys import read_keys
from streamseg.fastsam.metrics import Metric, SegmentMetrics
from streamseg.fastsam.options import Options, long_side
from streamseg.segmentation import Segmenter

__all__ = ["measure", "read_val_options"]

CONF = 0.001
"""Default score threshold: so low that only the ranks matter."""

_logger = logging.getLogger(__name__)


def read_val_options(values: Mapping[str, Any]) -> tuple[Options, Split]:
    """Return the options of a measurement, and the split of the data set.

    Raises:
        ConfigError: an option is unknown or unavailable, or its value is not allowed.
    """
    given = read_keys("val", values)
    if given.ignored:
        _logger.warning("val: %s has no effect here", ", ".join(given.ignored))
    options: dict[str, Any] = {"conf": CONF, **given.values}
    if "imgsz" in options:
        options["imgsz"] = long_side(options["imgsz"])
    requested = options.pop("split", "val")
    splits: tuple[Split, ...] = get_args(Split)
    split = next((one for one in splits if one == requested), None)
    if split is None:
        raise ConfigError(f"split must be one of {', '.join(splits)}, got {requested!r}")
    return Options(**options), split


def measure(
    segmenter: Segmenter,
    data: str | Path,
    *,
    split: Split = "val",
    on_image: Callable[[int, int], None] = lambda done, total: None,
) -> SegmentMetrics:
    """Measure a segmenter on one split of a data set, or on a COCO-format folder; classes count as one.

    Unusable images and annotations are skipped, and named in the log.

    Args:
        segmenter: the network, with a low score threshold.
        data: see `find_data`.
        split: split of a YOLO data set.
        on_image: called with the number of images done and their total.

    Raises:
        DataError: the data set is missing or invalid, or none of its images is usable.
    """
    problems = Problems()
    scores = evaluate_proposals(segmenter, find_data(data), on_image=on_image, problems=problems, split=split)
    for line in problems.lines():
        _logger.warning("skipped: %s", line)
    stages = segmenter.timer.stages
    names = {"preprocess": "preprocess", "inference": "network", "postprocess": "postprocess"}
    speed = {name: stages[stage].at(50)[0] for name, stage in names.items()}
    return SegmentMetrics(Metric.of(scores.box), Metric.of(scores.mask), scores, speed)

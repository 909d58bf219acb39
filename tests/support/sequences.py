"""Sequences of drawn discs with the instances that a segmenter would find."""

from __future__ import annotations

import cv2
import numpy as np
import torch

from streamseg.evaluation.prompt_tracking import SequenceFrame
from streamseg.structures.grid import GridTransform
from streamseg.structures.instances import Instances
from tests.support.images import disc, paint, rectangle

SIZE = (60, 100)


def instances_of(masks):
    """Return instances with exactly these masks."""
    edges = []
    for mask in masks:
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        edges.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    return Instances(
        torch.tensor(edges, dtype=torch.float32).reshape(-1, 4),
        torch.linspace(0.9, 0.6, len(masks)),
        torch.from_numpy(np.where(np.array(masks).reshape(-1, *SIZE), 4.0, -4.0)).float(),
        GridTransform(1, 1, 0, 0),
        SIZE,
    )


def sequence_folder(path, sequences):
    """Write sequences of masks by name, each mask with an image in which it is red; return the folder."""
    for name, masks in sequences.items():
        for kind in ("images", "masks"):
            (path / name / kind).mkdir(parents=True)
        for index, mask in enumerate(masks):
            image = paint([mask], [(200, 9, 9)], SIZE)
            cv2.imwrite(str(path / name / "images" / f"{index:05d}.png"), image[:, :, ::-1])
            cv2.imwrite(str(path / name / "masks" / f"{index:05d}.png"), mask.astype(np.uint8) * 255)
    return path


def moving(num_frames=10, step=3, start=20):
    """Return the masks of a disc that moves to the right."""
    return [disc(SIZE, start + step * index, 30, 11) for index in range(num_frames)]


OTHER = rectangle(SIZE, 0, 0, 18, 14)


def sequence(masks_per_frame):
    return [
        SequenceFrame(np.zeros((*SIZE, 3), np.uint8), instances_of(masks), index / 24)
        for index, masks in enumerate(masks_per_frame)
    ]


def full(masks):
    return [mask.full(SIZE) for mask in masks]

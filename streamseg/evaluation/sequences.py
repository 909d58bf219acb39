"""Labelled sequences of video object segmentation: folders `NAME/images` and `NAME/masks` with matching file names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamseg.capture.images import find_image_files
from streamseg.datasets.problems import Problem, Problems
from streamseg.errors import DataError, SourceError
from streamseg.imaging import image_sizes, load_image, load_mask
from streamseg.structures.arrays import ImageArray, MaskArray

__all__ = ["LabelledFrame", "is_scorable", "read_or_skip", "usable_sequences"]

FEWEST_FRAMES = 3


@dataclass(frozen=True)
class LabelledFrame:
    """The files of one frame."""

    index: int
    """Position in the sequence, counting frames that are skipped."""
    image: Path
    mask: Path

    def read(self) -> tuple[ImageArray, MaskArray]:
        """Return the image (H, W, 3) RGB and the mask (H, W).

        Raises:
            DataError: a file is unreadable, or they differ in size.
        """
        try:
            image, mask = load_image(self.image), load_mask(self.mask)
        except SourceError as error:
            raise DataError(str(error)) from error
        if mask.shape != image.shape[:2]:
            raise _other_size(self, mask.shape, image.shape)
        return image, mask


def usable_sequences(
    folder: Path, problems: Problems, *, limit: int | None = None
) -> dict[Path, tuple[LabelledFrame, ...]]:
    """Return the sequences that can be scored, each with its usable frames, without decoding images.

    Args:
        folder: a folder with one folder per sequence.
        problems: collects the frames and sequences that are skipped.
        limit: maximum number of frames per sequence, taken from the start; None for all.

    Raises:
        DataError: the folder contains no sequence.
    """
    paths = sorted(path.parent for path in folder.glob("*/masks") if path.is_dir())
    if not paths:
        raise DataError(f"{folder} contains no sequence; a sequence is a folder with the folders images and masks")
    usable = {path: _usable_frames(path, problems, limit) for path in paths}
    return {path: frames for path, frames in usable.items() if frames}


def read_or_skip(frame: LabelledFrame, problems: Problems | None) -> tuple[ImageArray, MaskArray] | None:
    """Read a frame; if it is damaged, return None and add it to `problems`.

    Raises:
        DataError: it is damaged, and `problems` is None.
    """
    try:
        return frame.read()
    except DataError as error:
        if problems is None:
            raise
        problems.add(Problem("image", frame.image, str(error)))
        return None


def is_scorable(sequence: Path, truth: Sequence[MaskArray], problems: Problems | None) -> bool:
    """Return whether the masks (H, W) of a sequence are enough to score it; if not, add it to `problems`.

    Raises:
        DataError: they are not, and `problems` is None.
    """
    if len(truth) < FEWEST_FRAMES:
        message = (
            f"{sequence} has {len(truth)} usable frames; {FEWEST_FRAMES} are required, as the first and the last are"
            " not scored"
        )
    elif not truth[0].any():
        message = (
            f"the first mask of {sequence} is empty; it must contain the object, because the prompt is derived from it"
        )
    else:
        return True
    if problems is None:
        raise DataError(message)
    problems.add(Problem("image", sequence, message, count=len(truth)))
    return False


def _usable_frames(sequence: Path, problems: Problems, limit: int | None) -> tuple[LabelledFrame, ...]:
    try:
        images = find_image_files(str(sequence / "images"))[:limit]
    except SourceError as error:
        problems.add(Problem("image", sequence, str(error)))
        return ()
    listed = [LabelledFrame(index, path, sequence / "masks" / f"{path.stem}.png") for index, path in enumerate(images)]
    masks = {frame: mask for frame in listed if (mask := _usable_mask(frame, problems)) is not None}
    return tuple(masks) if is_scorable(sequence, list(masks.values()), problems) else ()


def _usable_mask(frame: LabelledFrame, problems: Problems) -> MaskArray | None:
    """Return the mask (H, W) of a frame whose image exists and has the same size, by its header; else None."""
    try:
        if not frame.mask.is_file():
            raise DataError(f"{frame.image} has no mask; expected {frame.mask}")
        mask, size = load_mask(frame.mask), image_sizes(frame.image)[0]
        if mask.shape != size:
            raise _other_size(frame, mask.shape, size)
    except (DataError, SourceError) as error:
        problems.add(Problem("image", frame.image, str(error)))
        return None
    return mask


def _other_size(frame: LabelledFrame, mask: tuple[int, ...], image: tuple[int, ...]) -> DataError:
    sizes = [f"{size[1]}x{size[0]}" for size in (mask, image)]
    return DataError(f"{frame.mask} is {sizes[0]}, its image is {sizes[1]}; both must have the same size")

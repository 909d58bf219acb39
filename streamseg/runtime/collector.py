"""Sink that saves the frames that are worth labelling; why they are, `collecting.occasions` decides."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from streamseg.collecting import Occasion, OccasionFinder, image_record
from streamseg.config.collect import CollectConfig
from streamseg.pipeline import FrameResult
from streamseg.publish.jpeg import encode_jpeg
from streamseg.runtime.collected_folder import CollectedFolder
from streamseg.runtime.sink_slot import SinkPolicy

__all__ = ["Collector"]


class Collector:
    """Writes a COCO data set of the frames in which a followed object was lost, uncertain, corrected or removed.

    Args:
        config: its folder is not None.

    Raises:
        DataError: see `CollectedFolder`.
    """

    policy = SinkPolicy("collect")

    def __init__(self, config: CollectConfig) -> None:
        assert config.folder is not None
        self._config = config
        self._folder = CollectedFolder(
            Path(config.folder), keep_bytes=round(config.keep_gb * 1e9), max_images=config.max_images
        )
        self._lock = threading.Lock()
        self._finders: dict[str, OccasionFinder] = {}
        self._removed: set[str] = set()
        """Ids of removed sources, whose last corrections the thread of this sink saves with the next result."""

    def add_source(self, source_id: str, *, is_live: bool) -> None:
        """Do nothing: a source is known with its first result."""

    def remove_source(self, source_id: str) -> None:
        """Release the last image of a source."""
        with self._lock:
            self._removed.add(source_id)

    def write(self, result: FrameResult) -> None:
        """Save what a frame shows to be worth labelling; most frames are not.

        Raises:
            DataError: an image cannot be written.
        """
        with self._lock:
            removed, self._removed = self._removed, set()
        ended = [self._finders.pop(source_id).end() for source_id in removed if source_id in self._finders]
        source_id = result.frame.source_id
        if source_id not in self._finders:
            self._finders[source_id] = OccasionFinder(
                interval_seconds=self._config.interval_s, uncertain_below=self._config.uncertain_below
            )
        self._save([*chain.from_iterable(ended), *self._finders[source_id].update(result)])

    def close(self) -> None:
        """Save the corrections of the last seconds, and write `instances.json`; raises DataError. Idempotent."""
        try:
            self._save(chain.from_iterable(finder.end() for finder in self._finders.values()))
        finally:
            self._finders.clear()
            self._folder.close()

    def _save(self, occasions: Iterable[Occasion]) -> None:
        """Save the occasions, one image for those in the same frame."""
        by_frame: dict[int, list[Occasion]] = {}
        for one in occasions:
            by_frame.setdefault(id(one.frame), []).append(one)
        for group in by_frame.values():
            frame = group[0].frame
            self._folder.add(image_record(frame, group), encode_jpeg(frame.image, self._config.jpeg_quality))

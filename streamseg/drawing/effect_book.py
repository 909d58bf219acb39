"""Effects over time: which objects a frame shows, also while a prompt has lost its object."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from streamseg.drawing.effects import EffectStyle, Layer, cut_out, render_effect
from streamseg.structures.arrays import ImageArray
from streamseg.structures.message import POSSIBLY_LOST_CONFIDENCE, Message, PromptStatus

__all__ = ["EffectBook", "EffectImage"]


class EffectImage:
    """The image of one frame with an effect, rendered when it is first requested and kept.

    Args:
        image: the frame's image, (H, W, 3).
        layers: the objects that it shows.
        style: the effect.
        lock: held while it is rendered, so that several outputs do not render it twice.
    """

    def __init__(
        self, image: ImageArray, layers: tuple[Layer, ...], style: EffectStyle, lock: AbstractContextManager[Any]
    ) -> None:
        self.layers = layers
        self._image = image
        self._style = style
        self._lock = lock
        self._rendered: ImageArray | None = None

    def __call__(self) -> ImageArray:
        """Return the image, uint8 (H, W, 3); not to be modified."""
        with self._lock:
            if self._rendered is None:
                self._rendered = render_effect(self._image, self.layers, self._style)
            return self._rendered

    def for_file(self) -> npt.NDArray[np.uint8]:
        """Return the image for a file: the same, or cut-out objects on a transparent background if none is configured.

        Returns:
            uint8 (H, W, 3) RGB, or (H, W, 4) with the opacity.
        """
        config = self._style.config
        if config.kind == "cutout" and config.background is None:
            return cut_out(self._image, self.layers)
        return self()


@dataclass(frozen=True, eq=False)
class _Seen:
    layer: Layer
    seconds: float


class EffectBook:
    """Remembers, for each source and prompt, the frame in which its object was last visible.

    Privacy comes first if the effect hides the background: an object that is lost, or more likely another one, fades
    out within `hold_s` as it was when it was last visible. New pixels at its place stay hidden. With `highlight`, its
    place fades out.

    Args:
        style: the effect; None: there is none.
        hold: False if the frames of a source are separate images: nothing fades from one to the next.
        new_lock: creates the lock of an `EffectImage`; by default none, for one thread.
    """

    def __init__(
        self,
        style: EffectStyle | None,
        *,
        hold: bool = True,
        new_lock: Callable[[], AbstractContextManager[Any]] = contextlib.nullcontext,
    ) -> None:
        self._style = style
        self._hold_seconds = style.config.hold_s if style is not None and hold else 0.0
        self._new_lock = new_lock
        self._seen: dict[str, dict[str, _Seen]] = {}

    @property
    def is_on(self) -> bool:
        """Whether there is an effect, for which the pixels of each frame are needed."""
        return self._style is not None

    def update(self, image: ImageArray, message: Message) -> EffectImage | None:
        """Return the image of the next frame of a source with the effect; None if there is no effect."""
        if self._style is None:
            return None
        seconds = message.pts_seconds if message.pts_seconds is not None else message.captured_ns / 1e9
        before = self._seen.get(message.source_id, {})
        after: dict[str, _Seen] = {}
        layers: list[Layer] = []
        for status in message.prompts:
            objects = message.of(status.prompt_id) if self._is_certain(status) else ()
            if objects:
                layer = Layer(image, objects, message.mask_space)
                after[status.prompt_id] = _Seen(layer, seconds)
                layers.append(layer)
            elif (known := before.get(status.prompt_id)) is not None:
                opacity = self._opacity(seconds - known.seconds)
                if opacity > 0 and known.layer.image.shape == image.shape:
                    after[status.prompt_id] = known
                    # What fades lies below what is visible.
                    layers.insert(0, self._faded(known.layer, image, opacity))
        self._seen[message.source_id] = after
        return EffectImage(image, tuple(layers), self._style, self._new_lock())

    def forget(self, source_id: str) -> None:
        """Forget a source that has ended."""
        self._seen.pop(source_id, None)

    def _is_certain(self, status: PromptStatus) -> bool:
        if status.state not in ("bound", "reacquired"):
            return False
        assert self._style is not None
        is_doubtful = status.track_id >= 0 and status.confidence < POSSIBLY_LOST_CONFIDENCE
        return not (is_doubtful and self._style.hides_background)

    def _opacity(self, age_seconds: float) -> float:
        # A clock that is set back must not keep an object for an hour.
        if not 0 <= age_seconds < self._hold_seconds:
            return 0.0
        return min(1.0, 2 * (1 - age_seconds / self._hold_seconds))

    def _faded(self, layer: Layer, image: ImageArray, opacity: float) -> Layer:
        assert self._style is not None
        pixels = layer.image if self._style.hides_background else image
        return replace(layer, image=pixels, opacity=opacity)

"""The video models of transformers (SAM 2, EdgeTAM) as streams, with one inference session for each object.

The models process the objects of a session one by one, so that separate sessions cost the same as a shared one. They
can be started and ended at any time, whereas a shared one cannot forget an object. The features of an image are
computed once and handed to every session.

A session keeps every frame and every output. `SessionMemory` removes what no later frame reads: the images, the masks,
outputs beyond the reach of the attention to memories and object pointers, and all but `MAX_CORRECTIONS` + 1 of the
masks that were given.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from streamseg.structures.arrays import ImageArray, MaskArray
from streamseg.structures.mask import CropMask
from streamseg.tiers.memory.model import Seen
from streamseg.tiers.quality.fits import resized

__all__ = ["MAX_CORRECTIONS", "EncodedFrame", "SessionMemory", "SessionVideoModel", "pixel_values"]

MAX_CORRECTIONS: Final = 3
"""Maximum number of corrections that a memory keeps beside its first mask; the oldest is forgotten first."""
STABILITY_OFFSET: Final = 1.0
"""Offset of the thresholds, in logits, between which a mask is compared for its stability, as SAM's generator does."""
OBJECT: Final = 1
"""Id of the only object of a session."""
SHORT_LIVED: Final = ("high_res_masks", "pred_masks")
"""Outputs of a frame that are read within it only."""
MEMORIES: Final = ("maskmem_features", "maskmem_pos_enc")
"""Outputs that the attention to memories reads; object pointers, which are small, are read for longer."""


@dataclass(frozen=True, eq=False)
class EncodedFrame:
    """An image, encoded once for all objects."""

    vision: dict[str, Any]
    """Feature maps and their positional encodings, as the model's cache keeps them."""
    pixels: Tensor
    """float32 (1, 3, S, S), normalised; the model stores it with the frame, but does not read it again."""
    image_size: tuple[int, int]
    """Size (H, W) of the image."""


def pixel_values(image: ImageArray, size: int, mean: Tensor, std: Tensor) -> Tensor:
    """Return an image as the processors of SAM 2 and 3 prepare it: stretched to a square, then normalised.

    Args:
        image: uint8 (H, W, 3) RGB.
        size: side S of the square.
        mean: float32 (3,), 0..1.
        std: float32 (3,).

    Returns:
        float32 (1, 3, S, S) on the device of `mean`.
    """
    pixels = resized(image, (size, size)).to(mean.device)
    return (pixels - 255 * mean.view(1, 3, 1, 1)) / (255 * std.view(1, 3, 1, 1))


class SessionVideoModel:
    """A video model of transformers.

    Args:
        model: a Sam2VideoModel or an EdgeTamVideoModel, in evaluation mode.
        session_type: the class of its inference sessions.
        mean: mean of the normalisation, 3 values 0..1.
        std: standard deviation of the same.
    """

    def __init__(
        self, model: nn.Module, session_type: type[Any], *, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        self.model: Any = model
        self.session_type = session_type
        parameter = next(model.parameters())
        self.device, self.dtype = parameter.device, parameter.dtype
        self._mean = torch.tensor(mean, dtype=torch.float32, device=self.device)
        self._std = torch.tensor(std, dtype=torch.float32, device=self.device)

    @property
    def reach(self) -> int:
        """Number of earlier frames that a frame reads, counting frames that were processed."""
        config = self.model.config
        return max(int(config.num_maskmem), int(config.max_object_pointers_in_encoder))

    @torch.inference_mode()
    def encode(self, image: ImageArray) -> EncodedFrame:
        """Encode an image, uint8 (H, W, 3) RGB."""
        pixels = pixel_values(image, int(self.model.config.image_size), self._mean, self._std).to(self.dtype)
        features = self.model.get_image_features(pixels, return_dict=True)
        vision = {"vision_feats": features.fpn_hidden_states, "vision_pos_embeds": features.fpn_position_encoding}
        return EncodedFrame(vision, pixels, (image.shape[0], image.shape[1]))

    def open_object(self) -> SessionMemory:
        """Return an empty memory of one object."""
        return SessionMemory(self)


class SessionMemory:
    """The memory of one object, in an inference session of its own.

    Frames are counted as they are processed: the model takes a frame that was left out as if it had not been.

    Args:
        shared: the model.
    """

    def __init__(self, shared: SessionVideoModel) -> None:
        self._shared = shared
        self._session: Any = shared.session_type(
            inference_device=shared.device,
            inference_state_device=shared.device,
            video_storage_device=shared.device,
            dtype=shared.dtype,
        )
        self._object = self._session.obj_id_to_idx(OBJECT)
        self._frame = -1
        self._features: EncodedFrame | None = None
        self._given: list[int] = []
        """Frames whose masks were given, in order: the first one, and the latest corrections."""

    def learn(self, features: EncodedFrame, mask: MaskArray) -> None:
        """Remember a mask, bool (H, W); it replaces what was found in the same image."""
        self._begin(features)
        session, frame = self._session, self._frame
        # Only a frame that has not been tracked yet is remembered as given.
        session.frames_tracked_per_obj[self._object].pop(frame, None)
        self._outputs("non_cond_frame_outputs").pop(frame, None)
        session.add_mask_inputs(self._object, frame, _model_mask(mask, int(self._shared.model.config.image_size)))
        session.obj_with_new_inputs = [OBJECT]
        self._run(features)
        if frame not in self._given:
            self._given.append(frame)
        self._prune()

    def find(self, features: EncodedFrame) -> Seen:
        """Find the object in an image.

        Raises:
            ValueError: nothing has been learnt yet.
        """
        if not self._given:
            raise ValueError("the memory of an object must learn a mask before it can find the object")
        self._begin(features)
        output = self._run(features)
        logits = output.pred_masks[0, 0].float()
        presence = float(torch.sigmoid(output.object_score_logits.float()).flatten()[0])
        self._prune()
        return _seen(logits, presence, features.image_size)

    def num_bytes(self) -> int:
        """Return the size of all tensors that the session holds."""
        return sum(one.numel() * one.element_size() for one in _tensors(vars(self._session), set()))

    def _begin(self, features: EncodedFrame) -> None:
        """Begin a frame, unless it has been begun already."""
        if features is not self._features:
            self._features = features
            self._frame += 1

    @torch.inference_mode()
    def _run(self, features: EncodedFrame) -> Any:
        session = self._session
        session.cache.clear_all()
        session.cache.cache_vision_features(self._frame, features.vision)
        return self._shared.model(inference_session=session, frame=features.pixels, frame_idx=self._frame)

    def _outputs(self, kind: str) -> dict[int, dict[str, Any]]:
        outputs: dict[int, dict[str, Any]] = self._session.output_dict_per_obj[self._object][kind]
        return outputs

    def _prune(self) -> None:
        """Remove what no later frame reads."""
        session, index = self._session, self._object
        session.processed_frames.clear()
        session.cache.clear_all()
        session.mask_inputs_per_obj[index].clear()
        del self._given[1:-MAX_CORRECTIONS]
        given = self._outputs("cond_frame_outputs")
        for frame in [one for one in given if one not in self._given]:
            del given[frame]
        found = self._outputs("non_cond_frame_outputs")
        oldest = self._frame - self._shared.reach
        for frames in (found, session.frames_tracked_per_obj[index]):
            for frame in [one for one in frames if one < oldest]:
                del frames[frame]
        _drop([*given.values(), *found.values()], SHORT_LIVED)
        unread = self._frame - int(self._shared.model.config.num_maskmem)
        _drop([output for frame, output in found.items() if frame < unread], MEMORIES)


def _drop(outputs: list[dict[str, Any]], names: tuple[str, ...]) -> None:
    for output in outputs:
        for name in names:
            output.pop(name, None)


def _model_mask(mask: MaskArray, size: int) -> Tensor:
    """Return a mask, bool (H, W), as the models' processors prepare it: float32 (1, 1, S, S) of 0 and 1."""
    given = torch.from_numpy(np.ascontiguousarray(mask)).float()[None, None]
    if given.shape[-2:] == (size, size):
        return given
    resized = nn.functional.interpolate(given, size=(size, size), mode="bilinear", align_corners=False, antialias=True)
    inside = (resized >= 0.5).float()
    if not inside.any():
        # An object of a few pixels vanishes, but its memory must not start empty.
        inside.view(-1)[resized.argmax()] = 1.0
    return inside


def _seen(logits: Tensor, presence: float, image_size: tuple[int, int]) -> Seen:
    """Return what logits (h, w) over the whole image show: their mask at its size, and how stable it is."""
    full = nn.functional.interpolate(logits[None, None], image_size, mode="bilinear", align_corners=False)[0, 0]
    mask = CropMask.of((full > 0).numpy(force=True))
    outer = int((full > -STABILITY_OFFSET).sum())
    stability = int((full > STABILITY_OFFSET).sum()) / outer if outer else 0.0
    return Seen(mask, presence, presence * stability)


def _tensors(value: Any, seen: set[int]) -> list[Tensor]:
    """Return the distinct tensors within nested dictionaries, lists and objects."""
    if id(value) in seen:
        return []
    seen.add(id(value))
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        return [one for item in value.values() for one in _tensors(item, seen)]
    if isinstance(value, list | tuple):
        return [one for item in value for one in _tensors(item, seen)]
    return [one for item in vars(value).values() for one in _tensors(item, seen)] if hasattr(value, "__dict__") else []

"""The modes of a run by their names: the one place where a run's behaviour is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    from streamseg.pipeline.mode import Mode

__all__ = ["FORMER_NAMES", "MODE_NAMES", "ModeName", "open_mode"]

ModeName = Literal["streamseg", "fastsam"]
MODE_NAMES: Final[tuple[ModeName, ...]] = get_args(ModeName)
FORMER_NAMES: Final[dict[str, ModeName]] = {"default": "streamseg", "reference": "fastsam"}
"""Names of the modes as `--prompting` takes them."""


def open_mode(name: ModeName, *, retina_masks: bool = True) -> Mode:
    """Return a mode by its name.

    Args:
        name: `streamseg`: streamseg's own behaviour; `fastsam`: masks and matches of the official FastSAM program.
        retina_masks: FastSAM mode only: False gives masks at the size of the network's input.
    """
    if name == "fastsam":
        from streamseg.fastsam.mode import FastSAMMode

        return FastSAMMode(retina_masks)
    from streamseg.pipeline.mode import StreamsegMode

    return StreamsegMode()

"""Former name of `streamseg.fastsam`; kept for one release."""

import warnings

from streamseg.fastsam import Boxes, FastSAM, FastSAMPredictor, FastSAMPrompt, Masks, Results

__all__ = ["Boxes", "FastSAM", "FastSAMPredictor", "FastSAMPrompt", "Masks", "Results"]

warnings.warn(
    "streamseg.compat is now streamseg.fastsam; the old name will be removed in the next release",
    DeprecationWarning,
    stacklevel=2,
)

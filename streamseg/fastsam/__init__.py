"""The Python interface of FastSAM, as its scripts know it: change the import line, and they run here.

    from streamseg.fastsam import FastSAM, FastSAMPrompt

    FastSAM(weights)(pictures) ─► [Results] ─► FastSAMPrompt ─► masks ─► plot
                                     └─ boxes, masks

The calls of the official README and of the Ultralytics pages are covered; README.md in this folder shows
each, with what differs. Written from their documentation and from observed behaviour, without their code.
"""

from streamseg.fastsam.model import FastSAM
from streamseg.fastsam.predictor import FastSAMPredictor
from streamseg.fastsam.prompt import FastSAMPrompt
from streamseg.fastsam.results import Results
from streamseg.fastsam.rows import Boxes, Masks

__all__ = ["Boxes", "FastSAM", "FastSAMPredictor", "FastSAMPrompt", "Masks", "Results"]

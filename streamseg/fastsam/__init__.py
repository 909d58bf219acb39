"""FastSAM's own behaviour, and the Python interface of its scripts.

Everything that imitates the official FastSAM program (arXiv 2306.12156) or Ultralytics' FastSAM is in this package.
It is written from their documentation and from observed behaviour, without their code. See docs/fastsam.md.

The Python interface: existing scripts run after their import line is changed.

    from streamseg.fastsam import FastSAM, FastSAMPrompt

    FastSAM(weights)(images) ─► [Results] ─► FastSAMPrompt ─► masks ─► plot
                                   └─ boxes, masks

model                `FastSAM`, the model of scripts: image_model predicts and tracks, inference segments one image
predictor            `FastSAMPredictor`, a model with fixed options
keys                 options by their names in the originals: known, without effect, or unavailable
options              options of predictions as typed values
sources              everything that scripts pass as a source, as named BGR images
results              `Results`, the objects of one image
rows                 `Boxes` and `Masks`, the rows of `Results`
summary              objects of one image as dicts, as a table, and as lines of label files
saving               files that predictions write; run_folder names their folder
validation           `val`, with metrics; training: `train`; exporting: `export`; data finds their data sets
results_selection    prompts as scripts write them; selects rows of `Results` by FastSAM's rules or streamseg's
prompt               `FastSAMPrompt`, prompts on the results of one image, and plots of them
plot                 drawing into arrays and writing image files

FastSAM mode: a whole run with the official program's behaviour.

mode                 `FastSAMMode`, the mode behind `mode: fastsam`, and its segmenter
reference_matching   `ReferenceMatcher`, the prompt matcher of that mode

FastSAM's rules, used by both:

reference_masks      boxes and masks of instances
reference_selection  selection among finished masks by points and boxes; `better_quality`
reference_text       selection by texts
reference_drawing    the official program's output image
"""

from streamseg.fastsam.model import FastSAM
from streamseg.fastsam.predictor import FastSAMPredictor
from streamseg.fastsam.prompt import FastSAMPrompt
from streamseg.fastsam.results import Results
from streamseg.fastsam.rows import Boxes, Masks

__all__ = ["Boxes", "FastSAM", "FastSAMPredictor", "FastSAMPrompt", "Masks", "Results"]

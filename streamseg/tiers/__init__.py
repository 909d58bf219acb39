"""Tiers: better models for the few objects that somebody chose, beside the network that finds everything.

contract   the records and interfaces between tiers and pipeline
guard      runs the calls of a tier; a tier that fails is switched off, and the run goes on
costs      predicts the time of a stage from measured times
overlap    overlap of a tier's masks with the instances of a frame
catalogue  the models by name, with sources and licences
model_folder  folders of models as published for transformers
quality    masks of chosen objects from a promptable model
memory     followed prompts by the memory of a video model
words      texts by an open-vocabulary detector
opening    opens the tiers of a configuration

Nothing of `transformers` is imported before a tier is opened.
"""

from streamseg.tiers.contract import BetterMask, MemoryTier, QualityTier, TierReport, Tiers

__all__ = ["BetterMask", "MemoryTier", "QualityTier", "TierReport", "Tiers"]

"""Tiers: better models for the few objects that somebody chose, beside the network that finds everything.

contract   the records and interfaces between tiers and pipeline
guard      runs the calls of a tier; a tier that fails is switched off, and the run goes on
costs      predicts the time of a stage from measured times
opening    opens the tiers of a configuration

Nothing of `transformers` is imported before a tier is opened.
"""

from streamseg.tiers.contract import BetterMask, MemoryTier, QualityTier, TierReport, Tiers

__all__ = ["BetterMask", "MemoryTier", "QualityTier", "TierReport", "Tiers"]

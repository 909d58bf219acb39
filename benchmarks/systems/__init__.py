"""Time and memory of the systems that FastSAM is compared with, at their true sizes, in one run."""

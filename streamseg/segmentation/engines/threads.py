"""Whose the cores are beside the network."""

from __future__ import annotations

import torch

from streamseg.segmentation.engines.engine import Engine

__all__ = ["leave_cores"]


def leave_cores(engine: Engine) -> None:
    """Let torch work in one thread from here on, where something else runs the network; for a program as a whole.

    What is left for torch then is small: its other threads gain nothing, and wait by spinning on cores that the
    network, capture and encoding need. On 2 cores a frame with 30 objects took 83 ms with two threads, and 68 with one.
    """
    if engine.name != "torch":
        torch.set_num_threads(1)

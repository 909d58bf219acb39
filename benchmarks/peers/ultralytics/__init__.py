"""Ultralytics FastSAM in its own environment (`requirements.txt`). It is run for comparison only.

Its licence is AGPL-3.0. streamseg's environment does not require it and never imports it.
"""

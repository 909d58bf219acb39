"""Ultralytics FastSAM, in an environment of its own: `requirements.txt`. It is run, and nothing of it is kept.

Its licence is AGPL-3.0. streamseg's environment does not need it and never imports it.
"""

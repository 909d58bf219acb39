"""Programs compared with streamseg, and streamseg itself: each in its own process, with the same requests.

`server` runs in the process, `client` in the benchmark; they exchange JSON lines. A peer has its own environment.
"""

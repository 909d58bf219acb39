"""Programs that streamseg is compared with, and streamseg itself: each in a process of its own, asked alike.

`serving` is the process's side, `asking` the benchmark's; they talk JSON lines. A peer has an environment of its own.
"""

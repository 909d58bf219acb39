"""Segment folders of files: resumable, each output complete or absent, on one machine or on a Ray cluster.

    inputs ─► pool (processes) or ray_data ─► BatchWorker ─► OUT/NAME.jsonl, by rename ─► manifest

inputs     the files of a folder
settings   the sections of a batch
worker     BatchWorker: one file at a time
pool       workers as processes of this machine
ray_data   workers as actors of Ray Data
manifest   which inputs are done
job        run a batch
"""

"""Configuration section of the outputs on this machine."""

from __future__ import annotations

from pydantic import Field

from streamseg.config.sources import Section

__all__ = ["OutputConfig"]


class OutputConfig(Section):
    """Files and the virtual webcam; all are off by default."""

    video: str | None = None
    """Path of a video with overlays, ending in .mp4, .mov, .mkv or .webm."""
    messages: str | None = None
    """Path of a file with one line of JSON per frame."""
    recording: str | None = None
    """Path of a folder that records the images and messages of each source, in segments that can be replayed."""
    segment_seconds: float = Field(default=60.0, ge=1, le=86400)
    """Length of a segment of a recording."""
    keep_gb: float | None = Field(default=None, gt=0)
    """Total size of the recording's folder, in 10**9 bytes, above which the oldest segments are deleted; None: no
    limit."""
    mcap: str | None = None
    """Path of an MCAP file, ending in .mcap, with images, masks, detections and prompts of all sources as ROS 2
    messages, for Foxglove and rosbag2. Requires the extra `record`."""
    mcap_max_gb: float | None = Field(default=None, gt=0)
    """Size of an MCAP file, in 10**9 bytes, after which another begins; only the two newest are kept. None: no limit.
    """
    rerun: str | None = None
    """Log for the rerun viewer: path of a file, ending in .rrd, or address of a viewer that runs,
    rerun+http://HOST:9876/proxy. Requires the extra `rerun`."""
    webcam: str | None = Field(default=None, min_length=1)
    """Virtual webcam of the first source, a device of v4l2loopback such as /dev/video9: the image with the effect or
    the overlay, for programs for video calls."""
    prompts: str | None = None
    """Path of a JSON file with the prompts in force and the objects they follow. If the file exists, its prompts, saved
    by an earlier run, replace those of the configuration."""

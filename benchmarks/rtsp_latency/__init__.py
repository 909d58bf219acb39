"""Latency of RTSP readers, from the rendering of an image to its decoded frame."""

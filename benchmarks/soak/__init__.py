"""Latency and memory of a long live run, of one source or of several RTSP cameras with faults."""

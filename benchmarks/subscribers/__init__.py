"""Slow, stopped and many subscribers."""

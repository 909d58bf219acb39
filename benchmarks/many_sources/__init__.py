"""Rates and ages of many live sources on few cores."""

"""Zones and lines on the tracked objects of messages, by supervision."""

from streamseg.zones.book import ZoneBook, require_zones

__all__ = ["ZoneBook", "require_zones"]

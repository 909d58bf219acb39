"""Followed objects as MQTT topics, with Home Assistant's discovery. Pure: no connection, no clock."""

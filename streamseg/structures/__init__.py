"""What flows between the stages: frozen records, shapes checked at the door, values never.

    Frame ─► Instances ─► Tracked ─► Selection ─► Message

Import each from its own module. `frame`, `prompt` and `message` need numpy only, so that a
subscriber runs without torch; `instances` is the one that needs torch.
"""

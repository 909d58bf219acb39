"""Windows of `streamseg run --show`, in which a click is a prompt.

screen    desktop windows (OpenCV) and their events
pointing  mouse gestures: click, background click, box
prompts   prompts set by clicks and boxes
window    one window per source: draws the newest results, and turns gestures and keys into operations
"""

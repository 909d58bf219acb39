"""Web page that displays a run in a browser and accepts prompts.

access        who may open the page                    channel   a source's newest frame, encoded once for all watchers
client        the WebSocket of one browser             flow_control   frames in flight, message rate of one browser
frames        encodings of one frame                   hub       state shared by all browsers
server        HTTP routes and the protocol             viewer    Viewer, a sink of the run: thread and event loop
prompt_names  display names of prompts                 page      the code that runs in the browser
"""

from streamseg.viewer.hub import Run
from streamseg.viewer.viewer import TOKEN_VARIABLE, Viewer

__all__ = ["TOKEN_VARIABLE", "Run", "Viewer"]

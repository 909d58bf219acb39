"""The page that shows a run in a browser, and lets one click on it.

viewer    Viewer: a sink of the run; its thread and event loop, starting and stopping
server    the HTTP routes and the protocol           client     one browser's WebSocket
channel   the newest frame of a source, made once for all who watch
window    how many frames a browser may owe          allowance  how many messages it may send
frames    what is made of one frame                  access     who may see it
names     what prompts are called
page      what runs in the browser
"""

from streamseg.viewer.hub import Run
from streamseg.viewer.viewer import TOKEN_VARIABLE, Viewer

__all__ = ["TOKEN_VARIABLE", "Run", "Viewer"]

"""The windows of `streamseg run --show`, in which a click is a prompt.

screen    windows of a desktop, and what happens in them    pointing  what the mouse means: a click, a box
latest    the newest result of each source                  clicked   the prompts that clicks and boxes set
window    all of it together: shows, and steers the run
"""

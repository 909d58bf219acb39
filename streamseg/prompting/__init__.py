"""Match prompts with instances. Nothing here runs a network: every object is segmented already.

prompt_set      the prompts of one source, grouped by kind
select          the instances that match each prompt in one frame
points          matching of points; `overlap` matches boxes and masks
text            matching of texts, by a matcher from outside
prompt_tracker  prompts that follow their target over time
targets         the targets of all prompts: started, stepped, evaluated and ended
target          one prompt, its hypotheses and its location
mask_follower   targets followed by the propagation of their masks
mask_frame      one frame, as the follower of masks sees it
propagated      what propagation says about a target
transform       prompts moved with their target
locate          the row of each target in each frame
history         records of the last frames of a source, and first-seen times of its tracks
appearance      the appearance of a target; detection of identity switches
reid            re-identification of lost targets under another track id
parts           which objects are parts of which; wholes that substitute for parts
confidence      confidence in the selected objects, and the expected IoU of their masks
state           targets saved for a later run
configured      prompts from a configuration
"""

from streamseg.prompting.configured import prompts_from_config
from streamseg.prompting.prompt_set import PromptSet
from streamseg.prompting.prompt_tracker import PromptTracker
from streamseg.prompting.select import hypotheses, select

__all__ = ["PromptSet", "PromptTracker", "hypotheses", "prompts_from_config", "select"]

"""Which instances answer which prompt. Nothing here runs the network: everything is found already.

points         the smallest mask that holds the foreground points and no background point
boxes          the instance that fills the box best
masks          the instance whose mask is most like a given one
select         one Selection per prompt, in the prompts' order
fit            the instances that fit a prompt best
placed         the prompts about all sources, each source with a follower
following      prompts that stay with their object: asked once, then answered by identity
bindings       what each of them is bound to, and the step to another object that it could mean
binding        one prompt and the objects that it could mean
whereabouts    where their objects are in each frame
status         how a prompt stands, and its answer in one frame
sightings      what a source showed in the last seconds
looks          what is remembered of an object, to know it again
notes          what is written down of their objects for another run
memory         the same as plain numbers
wholes         what answers for a part while that is not found
parthood       whether one object is a part of another
containment    how much of one mask lies on another
likeness       identities that turn out to be other objects
births         when identities began
reacquisition  a lost object found again by motion, shape and looks
reference      the answers of the official FastSAM program, for those who depend on them
checks         prompts that no picture of a size can answer, and prompts from a configuration
"""

from streamseg.prompting.placed import PlacedPrompts
from streamseg.prompting.prompt_tracker import PromptTracker
from streamseg.prompting.select import candidates, select
from streamseg.prompting.status import status_of
from streamseg.prompting.validation import check_prompts, prompts_from_config

__all__ = [
    "PlacedPrompts",
    "PromptTracker",
    "candidates",
    "check_prompts",
    "prompts_from_config",
    "select",
    "status_of",
]

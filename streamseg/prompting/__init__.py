"""Which instances answer which prompt. Nothing here runs the network: everything is found already.

points    the smallest mask that holds the foreground points and no background point
boxes     the instance that fills the box best
select    one Selection per prompt, in the prompts' order
reference the answers of the official FastSAM program, for those who depend on them
checks    prompts that no picture of a size can answer, and prompts from a configuration
"""

from streamseg.prompting.checks import check_prompts, prompts_from_config
from streamseg.prompting.select import candidates, select, select_reference

__all__ = ["candidates", "check_prompts", "prompts_from_config", "select", "select_reference"]

"""Parts of `benchmarks.tracking`; `benchmarks.prompt_tracking` uses the same scene."""

"""Parts of `benchmarks.prompts` and `benchmarks.prompt_answers`."""

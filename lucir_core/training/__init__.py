"""The training loop: stages, schedules, steps, checkpoints."""

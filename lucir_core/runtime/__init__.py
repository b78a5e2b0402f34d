"""What a phase runs on: acceleration, processes, threads, seeds."""

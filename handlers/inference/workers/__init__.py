"""What a worker is told when it starts, and what it tells of its batches."""

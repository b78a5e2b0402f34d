"""The images of a phase, and their random changes."""

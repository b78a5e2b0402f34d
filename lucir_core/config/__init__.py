"""Everything that can be chosen about a phase, and the presets."""

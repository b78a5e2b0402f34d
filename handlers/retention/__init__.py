"""Which versions, originals and documents stay, and the removal of the rest."""

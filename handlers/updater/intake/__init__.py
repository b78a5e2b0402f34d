"""From files in ``incoming/`` to the plan of an update."""

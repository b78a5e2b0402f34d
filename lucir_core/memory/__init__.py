"""What is kept of old classes: exemplars, herding, prototypes, encoded images."""

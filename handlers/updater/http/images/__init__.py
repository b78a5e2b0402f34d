"""Images over HTTP: the classes with their exemplars, stored originals, what was rejected; small copies of them."""

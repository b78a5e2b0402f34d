"""The way of a dropped image through the modules, as somebody reads it."""

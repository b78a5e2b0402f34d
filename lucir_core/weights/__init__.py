"""Starting weights of backbones: where they come from, how their tensors are called, and how they get into a network.

`pretrained` (packages, without torch), `timm_facts` (what timm says of its networks), `foreign_names` (others' names of
our tensors), `load_weights` (files and named sources into a backbone). Nothing is ever unpickled or downloaded here.
"""

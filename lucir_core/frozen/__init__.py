"""Learning on the features of a backbone that stays as it is: the head alone is computed, in seconds and without a GPU.

`features` takes each image through the backbone once, `analytic` computes the head, `calibration` what its answers are
worth, `phase` puts a phase together, `suspects` finds images that look mislabelled.
"""

"""Learning on the features of a backbone that stays as it is: the head alone is computed, in seconds and without a GPU.

`extraction` takes each image through the backbone once, `analytic` computes the head, `calibrate` what its answers are
worth, `frozen_phase` puts a phase together, `suspects` finds images that look mislabelled, `intervals` how sure a
share is.
"""

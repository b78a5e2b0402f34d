"""Refinement: LUCIR's full objective on the last stages of a backbone that stayed as it is until then.

`maps` computes what the frozen part makes of each view of an image, `tuning` trains the last stages on that, `paired`
compares two answers to the same images, `refinement` puts them together.
"""

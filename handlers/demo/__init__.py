"""The story that ``lucir demo`` tells: real stack, real data, measured from outside."""

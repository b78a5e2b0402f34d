"""The learning library: LUCIR and the methods it is compared with."""

"""Everything in a picture, found by one pass of one network."""

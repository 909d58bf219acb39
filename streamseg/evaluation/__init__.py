"""How good the answers are, measured against a truth.

`identity` judges tracks: identities kept, switched and lost.
"""

"""How good the answers are, measured against a truth.

`proposals` judges masks and boxes by COCO's average recall, classes ignored; `identity` judges tracks:
identities kept, switched and lost.
"""

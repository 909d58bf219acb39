"""How good the answers are, measured against a truth: one module per protocol.

proposals   objects found, by COCO's average recall and precision, classes ignored
prompted    masks that answer boxes and points
boundary    how well masks follow outlines
scores      whether scores follow the quality of masks
edges       outlines against boundaries that people drew, by the Berkeley benchmark
video       an object followed from a prompt in the first frame
scene       objects and identities on rendered pictures
identity    identities kept, switched and lost; `hota` weighs both finding and following

`truth`, `overlap`, `matching` and `edge_matching` are what they share; `plots` draws.
"""

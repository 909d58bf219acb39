"""Evaluation against labelled data: one module per protocol.

proposals         class-agnostic object proposals: COCO's average recall and precision
prompted          masks selected by box and point prompts
boundary          boundary IoU of masks
scores            calibration of scores against mask IoU
edges             edges against boundaries drawn by people: the Berkeley benchmark (BSDS)
video             one object tracked from a prompt in the first frame: J & F of DAVIS
scene             objects and identities on the rendered scene
identity, hota    identity scores (IDF1, CLEAR MOT) and HOTA

edge_maps                                 edge maps of masks, for `edges`
truth, overlap, matching, edge_matching   labels, IoU and matching shared by the protocols
sequences, davis, prompt_tracking         data, measures and tracking methods of `video`
plots, curves                             plots as PNG files
results                                   JSON fields of scores
"""

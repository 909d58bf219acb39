"""Quality tier: masks of chosen objects from a promptable model of SAM's family.

model              the interface of promptable models: images are encoded once, masks decoded per box or points
fits               how an image fits into the input of a model, and the way back
decoded            decoded logits as masks at the size of the image
onnx_variants      the encoder/decoder pairs of the exporters, in one table
onnx_graphs        opening of the graphs of a pair, and what must hold between them
onnx_model         a pair of ONNX graphs as a promptable model
transformers_model a model of transformers as a promptable model
loading            a name or folder as a promptable model
export             a model of transformers as a pair of ONNX graphs
decoding           masks of boxes, timed: from the whole image, or from the surroundings of each box
budget             how many objects fit into the budget of a frame
unchanged          answers that remain valid while nothing moves
tier               the tier: which objects are decoded in which frame
everything         every object of an image by a grid of points
"""

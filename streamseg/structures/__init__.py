"""Records passed between the stages: frozen, with shapes checked on construction but not values.

    Frame ─► Instances ─► Tracked ─► Selection ─► Message

frame            one image with its capture time
grid             transforms from grids of cells to images
instances        objects of one image, and the same with identities (torch)
prompt           prompts, and the instances selected by one
prompt_location  whether prompts lie inside an image
search_regions   regions searched with a lower score threshold
message          the objects of one frame, as published, and as arrays
mask             binary masks of single objects, cropped to their boxes
arrays           type aliases of NumPy arrays

Import each record from its own module. Only `instances` requires torch; `frame`, `prompt`, `mask` and `message` need
only NumPy, so that a subscriber runs without torch.
"""

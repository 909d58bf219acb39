"""Training of the class-agnostic segmenter on COCO-format folders and the rendered scene.

    folders ─► compose ─► batches ─► Network ─► assign ─► loss ─► trainer

Every category becomes one: `object`.
"""

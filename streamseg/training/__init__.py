"""Training of the class-agnostic segmenter on COCO- and SA-1B-format folders and the rendered scene.

    folders, sa1b, scenes ─► compose ─► batches ─► learner (Network ─► assign ─► loss ─► optimizer) ─► trainer

`ranks` shares a run out among processes; `pseudo` labels what is not labelled; `pack` makes data small to carry.

Every category becomes one: `object`.
"""

"""Training of the class-agnostic segmenter on COCO- and SA-1B-format folders and the rendered scene.

    datasets, scenes ─► compose ─► batches ─► learner (Network ─► assign ─► loss ─► optimizer) ─► trainer

recipe             a run as a YAML file: sources and settings
settings           the settings of a run
scenes             labelled images of the rendered scene
compose            augmentation: one training image from several labelled ones
batches            seeded batches of training images
assign             assignment of anchors to targets
loss               box, distribution, score and mask losses
optimizer          AdamW, or Muon with AdamW
learner            network, moving average and optimizer; one training step
trainer            the training loop, with logs, evaluations and checkpoints
ranks              processes that share a run, one per device
devices            check of the device of a run
checkpoint         reading and writing checkpoints
result             the weights file of a finished run
step_log           JSON lines by step
refiner_examples   objects of a finished network with their targets
known_objects      followed objects and drawn boxes among them
seen_image         one image with the network's output
refiner_patches    these examples as the refiner reads them in training
refine             training of a refiner on these examples
pseudo             pseudo-labels for unlabelled objects
pack               a recipe's data in one small folder

All categories are merged into one: `object`.
"""

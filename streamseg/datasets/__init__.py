"""Labelled images on disk, and reading them.

samples       labelled images for training, independent of the folder format
coco          COCO annotation files: polygons, run lengths, categories
coco_folder   samples from a folder with one COCO annotation file
coco_writer   writing COCO annotation files
sa1b          samples from folders with one SA-1B annotation file per image
"""

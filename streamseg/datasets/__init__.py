"""Labelled images on disk, and reading them.

coco      COCO annotation files: polygons, RLE, categories
folders   folders of images with a COCO annotation file
sa1b      folders of images with one SA-1B annotation file each
"""

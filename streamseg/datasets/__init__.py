"""Labelled images on disk, and reading them.

samples       labelled images for training, independent of the folder format
problems      unusable images and annotations, collected to be skipped or refused
entries       images and annotations as listed in a data set
check         a pass over a whole data set before it is used
masks         masks of annotations: polygons and run lengths
pixels        image files, and the size that their labels refer to
coco          COCO annotation files
coco_folder   samples from a folder with one COCO annotation file
coco_writer   writing COCO annotation files
formats       names of the formats that are written
writers/      writing data sets in these formats
polygons      outlines of masks
sa1b          samples from folders with one SA-1B annotation file per image
listed_folder samples from data sets whose entries fit into memory
yolo_yaml     the description of a YOLO data set, `data.yaml`
yolo          labels of YOLO data sets
yolo_folder   samples from YOLO data sets
"""

"""The shapes of the objects in the rendered scene. One function per shape draws into a raster of height 1.

registry  `SHAPES` by name, with their sizes
living    people, animals, plants
objects   vehicles, furniture, small objects
colours   random colours
"""

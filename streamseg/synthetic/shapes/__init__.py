"""The objects of the rendered scene, each drawn by a function of its own on a canvas of height 1.

creatures  plants  vehicles  furniture  things ─► catalogue: `FIGURES`, by name
colours: what all of them are painted with
"""

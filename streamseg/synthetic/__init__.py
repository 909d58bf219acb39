"""A rendered scene of moving objects with exact masks and identities: demo input, training data, ground truth.

shapes ─► raster ─► Sprite ─┐
background ─────────────────┼─► SceneRenderer ─► render(index), truth(index)
trajectory ─────────────────┘

renderer    `SceneRenderer`: images and their ground truth
shapes      the shapes of the objects
raster      rasterisation of one object to a sprite
background  static backgrounds
textures    surface patterns
trajectory  the motion of one object
"""

from streamseg.synthetic.renderer import SceneRenderer, SceneTruth

__all__ = ["SceneRenderer", "SceneTruth"]

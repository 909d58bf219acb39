"""A rendered scene of moving objects with exact masks and identities: the demo's input, the tests' truth.

figures ─► canvas ─► Sprite ─┐
backdrop ────────────────────┼─► SceneRenderer ─► render(index), truth(index)
passage ─────────────────────┘
"""

from streamseg.synthetic.renderer import SceneRenderer, SceneTruth

__all__ = ["SceneRenderer", "SceneTruth"]

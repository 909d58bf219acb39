import numpy as np

from streamseg.synthetic.raster import Raster


def test_area_outside_the_raster_is_ignored():
    raster = Raster(32, 1.0, np.random.default_rng(0))
    raster.paint(raster.ellipse((5.0, 5.0), (0.1, 0.1)), (255, 0, 0), part="outside")
    sprite = raster.finish()
    assert not sprite.rgba.any()
    assert sprite.parts == ()

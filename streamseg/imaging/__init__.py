"""Image files and Pillow images as RGB pixels: one reader for every command, which decides by content.

    file ─► file_format (signature) ─► Pillow or OpenCV ─► rgb_from_pillow ─► uint8 (H, W, 3) RGB

formats     signatures of image formats, and of files that are often taken for images
opening     Pillow's image of a file, not decoded: at most `MAX_PIXELS` pixels, and no more than fit into memory
heif        HEIC, if a library for it is installed
reader      `load_image`: complete files only
pixels      conversion of any Pillow image to RGB: EXIF turn, CMYK, palettes, alpha, 16 bits
masks       `load_mask`: images whose non-zero pixels are an object
plain       image files that every program reads alike
animation   frames and times of animated GIF, WebP, PNG and AVIF files
"""

from streamseg.imaging.animation import AnimationFrame, animation_frames, num_animation_frames
from streamseg.imaging.formats import FileFormat, file_format
from streamseg.imaging.masks import load_mask
from streamseg.imaging.opening import MAX_PIXELS
from streamseg.imaging.pixels import ALPHA_BACKGROUND, rgb_from_pillow
from streamseg.imaging.plain import PlainFile, plain_file
from streamseg.imaging.reader import decode_image, image_sizes, load_image, quiet_opencv

__all__ = [
    "ALPHA_BACKGROUND",
    "MAX_PIXELS",
    "AnimationFrame",
    "FileFormat",
    "PlainFile",
    "animation_frames",
    "decode_image",
    "file_format",
    "image_sizes",
    "load_image",
    "load_mask",
    "num_animation_frames",
    "plain_file",
    "quiet_opencv",
    "rgb_from_pillow",
]

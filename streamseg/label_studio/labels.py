"""The tags of a labelling configuration (XML) that a prediction fills in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

from streamseg.errors import DataError

__all__ = ["MAX_CONFIG_CHARACTERS", "LabelTags", "parse_label_config"]

MAX_CONFIG_CHARACTERS: Final = 200_000


@dataclass(frozen=True)
class LabelTags:
    """The tag that regions belong to, and the image that it labels."""

    kind: str
    """brushlabels or polygonlabels: type of the regions."""
    from_name: str
    """Name of the tag with the labels."""
    to_name: str
    """Name of the image's tag."""
    image_key: str
    """Key of the image in the data of a task."""
    labels: tuple[str, ...]
    """Labels of the tag, at least one."""


def parse_label_config(text: str) -> LabelTags:
    """Return the first tag BrushLabels, or else PolygonLabels, of a labelling configuration.

    Raises:
        DataError: it is not XML, too long, or has no such tag for an image.
    """
    if not isinstance(text, str) or len(text) > MAX_CONFIG_CHARACTERS:
        raise DataError(f"label_config must be XML of at most {MAX_CONFIG_CHARACTERS} characters")
    if "<!" in text.replace("<!--", ""):
        raise DataError("label_config must not have a document type or entities")  # which can grow without limit
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"label_config is not valid XML: {error}") from error
    images = {tag.get("name"): tag.get("value", "") for tag in root.iter("Image")}
    for name in ("BrushLabels", "PolygonLabels"):
        for tag in root.iter(name):
            from_name, to_name = tag.get("name"), tag.get("toName")
            labels = tuple(label.get("value", "") for label in tag.iter("Label"))
            value = images.get(to_name, "")
            if from_name and to_name and any(labels) and value.startswith("$"):
                return LabelTags(name.lower(), from_name, to_name, value[1:], tuple(filter(None, labels)))
    raise DataError(
        "label_config needs a tag BrushLabels or PolygonLabels with at least one Label, whose toName is an Image with"
        ' a value such as "$image"'
    )

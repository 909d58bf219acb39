"""What a folder of encoders says about itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from streamseg.errors import WeightsError

__all__ = ["DESCRIPTION", "FETCH_COMMAND", "FILES", "IMAGE_GRAPH", "TEXT_GRAPH", "TOKENIZER", "EncodersDescription"]

DESCRIPTION: Final = "encoders.json"
IMAGE_GRAPH: Final = "image.onnx"
TEXT_GRAPH: Final = "text.onnx"
TOKENIZER: Final = "tokenizer.json"
FILES: Final = (IMAGE_GRAPH, TEXT_GRAPH, TOKENIZER)

FETCH_COMMAND: Final = "scripts/export_text_encoders openai/clip-vit-base-patch32"

MAX_DESCRIPTION_BYTES: Final = 1 << 16

_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Channel = Annotated[float, Field(ge=-10, le=10)]
_Deviation = Annotated[float, Field(gt=0, le=10)]


class EncodersDescription(BaseModel):
    """`encoders.json`: every key is required, and no other is allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    format: Literal["streamseg text encoders"]
    version: Literal[1]
    name: str = Field(min_length=1, max_length=200)
    """Of the model, as its publisher calls it."""
    licence: str = Field(max_length=200)
    """Of the weights; empty: not known."""
    image_size: int = Field(ge=8, le=1024)
    """Side of the square pictures that the image encoder takes, in pixels."""
    mean: tuple[_Channel, _Channel, _Channel]
    """Of red, green and blue, 0..1; subtracted first."""
    std: tuple[_Deviation, _Deviation, _Deviation]
    """Divided by after that."""
    resize: Literal["bilinear", "bicubic"]
    """How pixels are interpolated when pictures change their size."""
    context_length: int = Field(ge=2, le=1024)
    """Tokens of a text, with those that begin, end and pad it."""
    pad_id: int = Field(ge=0)
    """Token that fills a text up."""
    lowercase: bool
    """Whether texts are lowercased before they are cut into tokens."""
    embedding_dim: int = Field(ge=1, le=65536)
    """D, components of an embedding."""
    logit_scale: float = Field(gt=0, le=1000)
    """Factor of the cosines."""
    logit_bias: float = Field(ge=-1000, le=1000)
    """Added to that; 0 with softmax."""
    activation: Literal["softmax", "sigmoid"]
    """softmax: texts compete, as in CLIP; sigmoid: each is judged by itself, as in SigLIP."""
    template: str = Field(max_length=200)
    """Sentence that a text is put into at `{}`."""
    sha256: dict[Literal["image.onnx", "text.onnx", "tokenizer.json"], _Sha256]
    """Of the other three files."""

    @field_validator("template")
    @classmethod
    def _one_gap(cls, template: str) -> str:
        if template.count("{}") != 1 or template.replace("{}", "").strip("{}") != template.replace("{}", ""):
            raise ValueError("needs {} once, for the text, and no other brace")
        return template

    @field_validator("sha256")
    @classmethod
    def _all_files(cls, sha256: dict[str, str]) -> dict[str, str]:
        missing = [name for name in FILES if name not in sha256]
        if missing:
            raise ValueError(f"{', '.join(missing)} missing")
        return sha256

    @classmethod
    def read(cls, folder: Path) -> EncodersDescription:
        """Read `encoders.json` of a folder.

        Raises:
            WeightsError: folder or file are missing, or a value is not allowed; all faults in one line.
        """
        path = folder / DESCRIPTION
        if not path.is_file():
            what = f"{folder} has no {DESCRIPTION}" if folder.is_dir() else f"there is no folder {folder}"
            raise WeightsError(
                f"texts need encoders of pictures and words, but {what}; `{FETCH_COMMAND}` fetches them,"
                " or choose by points or boxes"
            )
        contents = path.read_bytes()
        if len(contents) > MAX_DESCRIPTION_BYTES:
            raise WeightsError(f"{path} has {len(contents)} bytes; at most {MAX_DESCRIPTION_BYTES} are allowed")
        try:
            return cls.model_validate_json(contents)
        except ValidationError as error:
            faults = [
                f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg'].removeprefix('Value error, ')}"
                for fault in error.errors()
            ]
            raise WeightsError(f"{path} describes no encoders: {'; '.join(faults)}".replace("\n", " ")) from error

    def file(self, folder: Path, name: Literal["image.onnx", "text.onnx", "tokenizer.json"]) -> bytes:
        """Contents of one of the files.

        Raises:
            WeightsError: it is missing, or not the one that was described.
        """
        path = folder / name
        try:
            contents = path.read_bytes()
        except OSError as error:
            raise WeightsError(
                f"cannot read {path}: {error.strerror or error}; export the encoders again, e.g. `{FETCH_COMMAND}`"
            ) from error
        found = hashlib.sha256(contents).hexdigest()
        if found != self.sha256[name]:
            raise WeightsError(
                f"{path} has the sha256 {found[:16]}…, and {DESCRIPTION} says {self.sha256[name][:16]}…;"
                f" it is damaged or of other encoders: export them again, e.g. `{FETCH_COMMAND}`"
            )
        return contents

    def sentence(self, text: str) -> str:
        """What the text encoder is given for a text; texts that come out alike are one."""
        words = " ".join(text.split())
        if not words.lower().startswith(("a photo", "a picture", "an image")):
            words = self.template.replace("{}", words)
        return words.lower() if self.lowercase else words

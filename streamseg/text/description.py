"""`encoders.json`, the description of a folder of encoders."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from streamseg.errors import WeightsError, reason_of

__all__ = ["DESCRIPTION", "FETCH_COMMAND", "FILES", "IMAGE_GRAPH", "TEXT_GRAPH", "TOKENIZER", "EncodersDescription"]

DESCRIPTION: Final = "encoders.json"
IMAGE_GRAPH: Final = "image.onnx"
TEXT_GRAPH: Final = "text.onnx"
TOKENIZER: Final = "tokenizer.json"
FILES: Final = (IMAGE_GRAPH, TEXT_GRAPH, TOKENIZER)

FETCH_COMMAND: Final = "streamseg text export openai/clip-vit-base-patch32"

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
    """Name of the model, as published."""
    licence: str = Field(max_length=200)
    """Licence of the weights; empty if unknown."""
    image_size: int = Field(ge=8, le=1024)
    """Side of the square input images of the image encoder, in pixels."""
    mean: tuple[_Channel, _Channel, _Channel]
    """Mean of red, green and blue, 0..1; subtracted first."""
    std: tuple[_Deviation, _Deviation, _Deviation]
    """Standard deviation of red, green and blue; divided by after the subtraction."""
    resize: Literal["bilinear", "bicubic"]
    """Interpolation for resizing images."""
    context_length: int = Field(ge=2, le=1024)
    """Number of tokens per text, including start, end and padding tokens."""
    pad_id: int = Field(ge=0)
    """Padding token."""
    lowercase: bool
    """Whether texts are converted to lower case before tokenization."""
    embedding_dim: int = Field(ge=1, le=65536)
    """D, number of components of an embedding."""
    logit_scale: float = Field(gt=0, le=1000)
    """Factor applied to cosines."""
    logit_bias: float = Field(ge=-1000, le=1000)
    """Bias added after scaling; 0 with softmax."""
    activation: Literal["softmax", "sigmoid"]
    """`softmax`: texts compete, as in CLIP; `sigmoid`: each text is scored independently, as in SigLIP."""
    template: str = Field(max_length=200)
    """Sentence with a placeholder `{}` for the text."""
    sha256: dict[Literal["image.onnx", "text.onnx", "tokenizer.json"], _Sha256]
    """SHA-256 of each of the other three files."""

    @field_validator("template")
    @classmethod
    def _one_gap(cls, template: str) -> str:
        if template.count("{}") != 1 or template.replace("{}", "").strip("{}") != template.replace("{}", ""):
            raise ValueError("must contain {} once, for the text, and no other braces")
        return template

    @field_validator("sha256")
    @classmethod
    def _all_files(cls, sha256: dict[str, str]) -> dict[str, str]:
        missing = [name for name in FILES if name not in sha256]
        if missing:
            raise ValueError(f"missing {', '.join(missing)}")
        return sha256

    @classmethod
    def read(cls, folder: Path) -> EncodersDescription:
        """Read `encoders.json` of a folder.

        Raises:
            WeightsError: the folder or file is missing, or a value is invalid; one line lists all faults.
        """
        path = folder / DESCRIPTION
        if not path.is_file():
            reason = f"{folder} has no {DESCRIPTION}" if folder.is_dir() else f"there is no folder {folder}"
            raise WeightsError(
                f"texts need encoders of images and texts, but {reason}; run `{FETCH_COMMAND}` to fetch them,"
                " or select by points or boxes"
            )
        contents = path.read_bytes()
        if len(contents) > MAX_DESCRIPTION_BYTES:
            raise WeightsError(f"{path} has {len(contents)} bytes; at most {MAX_DESCRIPTION_BYTES} bytes are allowed")
        try:
            return cls.model_validate_json(contents)
        except ValidationError as error:
            faults = [
                f"{'.'.join(map(str, fault['loc'])) or 'the file'}: {fault['msg'].removeprefix('Value error, ')}"
                for fault in error.errors()
            ]
            raise WeightsError(f"{path} is invalid: {'; '.join(faults)}".replace("\n", " ")) from error

    def file(self, folder: Path, name: Literal["image.onnx", "text.onnx", "tokenizer.json"]) -> bytes:
        """Return the contents of one of the files.

        Raises:
            WeightsError: the file is missing, or its hash differs from the description.
        """
        path = folder / name
        try:
            contents = path.read_bytes()
        except OSError as error:
            raise WeightsError(
                f"cannot read {path}: {reason_of(error)}; export the encoders again, e.g. `{FETCH_COMMAND}`"
            ) from error
        found = hashlib.sha256(contents).hexdigest()
        if found != self.sha256[name]:
            raise WeightsError(
                f"{path} has the SHA-256 {found[:16]}…, but {DESCRIPTION} requires {self.sha256[name][:16]}…;"
                f" it is damaged or belongs to other encoders: export them again, e.g. `{FETCH_COMMAND}`"
            )
        return contents

    def sentence(self, text: str) -> str:
        """Return the input of the text encoder for a text; texts with the same sentence are equivalent."""
        words = " ".join(text.split())
        if not words.lower().startswith(("a photo", "a picture", "an image")):
            words = self.template.replace("{}", words)
        return words.lower() if self.lowercase else words

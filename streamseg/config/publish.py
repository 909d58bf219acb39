"""Configuration section of the ZeroMQ endpoints."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from streamseg.config.sources import Section

__all__ = ["CurveConfig", "PublishConfig"]


class CurveConfig(Section):
    """Encryption and authentication of the ZeroMQ endpoints. Keys: `streamseg keys new NAME`."""

    secret_key: str | None = Field(default=None, min_length=1)
    """File with the key pair of this program, NAME.key_secret; None: no encryption, and every client may connect."""
    read: tuple[str, ...] = Field(default=(), max_length=1000)
    """Public keys that may receive messages: files NAME.key, or keys of 40 characters."""
    control: tuple[str, ...] = Field(default=(), max_length=1000)
    """Public keys that may receive messages and use the control channel."""

    @model_validator(mode="after")
    def _keys_require_a_secret(self) -> CurveConfig:
        if self.secret_key is None and (self.read or self.control):
            raise ValueError("read and control require secret_key, the key pair of this program")
        return self


class PublishConfig(Section):
    """ZeroMQ endpoints."""

    endpoint: str | None = "tcp://127.0.0.1:5555"
    """Endpoint of multipart messages; None: publish nothing. Port 0 lets the system choose."""
    single_endpoint: str | None = None
    """Endpoint of single-part messages for readers with CONFLATE; None: off."""
    control_endpoint: str | None = "tcp://127.0.0.1:5556"
    """Endpoint of the control channel: prompts and status; None: off."""
    curve: CurveConfig = CurveConfig()
    allow_public: bool = False
    """Allow an endpoint that other machines can reach without encryption."""
    imagezmq: str | None = None
    """Endpoint at which imagezmq's ImageHub(REQ_REP=False) receives the images that people watch, with the effect or
    the overlay; None: off. It is not encrypted."""
    imagezmq_format: Literal["jpeg", "raw"] = "jpeg"
    """jpeg: for recv_jpg, of `jpeg_quality`; raw: for recv_image, BGR as OpenCV has it."""
    mask_encoding: Literal["rle-crop-u32", "bits-crop", "coco-rle", "label-u16"] = "rle-crop-u32"
    mask_scale: float = Field(default=1.0, gt=0, le=1)
    """Size of the masks relative to the source image."""
    jpeg_quality: int = Field(default=80, ge=1, le=100)

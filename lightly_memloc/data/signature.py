"""Signatures of images: what identifies copies of an image, whatever their file."""

import hashlib
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

SIDE = 16

_CHANNELS = (1, 3, 4)
_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
# Standard deviation of a thumbnail, relative to the largest value of the image, below
# which the image shows nothing that could be compared.
_FLAT = 0.005


class Signature(NamedTuple):
    """What identifies an image.

    Attributes:
        digest: Digest of the pixels. Equal pixels have one digest, whatever the file
            format; a grey image has that of its RGB copy.
        thumbnail: Grey thumbnail of mean 0 and norm 1, shape ``(16, 16)``, as float16.
            Zero if the image is uniform or is no image.
        is_small: Whether a side of the image has fewer than 16 pixels.
    """

    digest: str
    thumbnail: NDArray[np.float16]
    is_small: bool


def signature_of(image: Any) -> Signature:
    """Compute the signature of an image.

    Args:
        image: A PIL image, a tensor of shape ``(C, H, W)`` or ``(H, W)``, or an array
            of shape ``(H, W, C)`` or ``(H, W)``.
    """
    pixels = _pixels(image)
    digest = _digest(pixels)
    thumbnail = np.zeros((SIDE, SIDE), dtype=np.float16)
    if pixels.ndim != 3 or not pixels.size:
        return Signature(digest, thumbnail, False)
    return Signature(digest, _thumbnail(pixels), min(pixels.shape[:2]) < SIDE)


def pixel_digest(image: Any) -> str:
    """Compute the digest of an image's signature alone.

    Args:
        image: An image, as for :func:`signature_of`.
    """
    return _digest(_pixels(image))


def _digest(pixels: NDArray[Any]) -> str:
    layout = f"{pixels.shape}{pixels.dtype}".encode()
    return hashlib.blake2b(layout + pixels.tobytes(), digest_size=16).hexdigest()


def _pixels(image: Any) -> NDArray[Any]:
    """The pixels of shape (H, W, C), with one channel if the image is grey."""
    if isinstance(image, Image.Image):
        array = _of_pil(image)
    else:
        is_tensor = isinstance(image, Tensor)
        array = _of_tensor(image) if is_tensor else np.asarray(image)
        if array.ndim == 3:
            first, last = (array.shape[axis] in _CHANNELS for axis in (0, 2))
            if first and (is_tensor or not last):
                array = np.moveaxis(array, 0, -1)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3:
        return array
    if array.shape[2] == 4 and array.dtype == np.uint8 and array[..., 3].min() == 255:
        array = array[..., :3]
    if array.shape[2] == 3 and _is_grey(array[:1]) and _is_grey(array):
        array = array[..., :1]
    return np.ascontiguousarray(array)


def _is_grey(array: NDArray[Any]) -> bool:
    return bool((array == array[..., :1]).all())


def _of_tensor(image: Tensor) -> NDArray[Any]:
    image = image.detach().cpu()
    # NumPy has no bfloat16.
    plain = image.float() if image.dtype == torch.bfloat16 else image
    array: NDArray[Any] = plain.numpy()
    return array


def _of_pil(image: Image.Image) -> NDArray[Any]:
    # Integers and floats of more than 8 bits would be cut off in a conversion to RGB.
    if image.mode.startswith(("I", "F")):
        return np.asarray(image)
    has_alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if has_alpha else "RGB"))


def _thumbnail(pixels: NDArray[Any]) -> NDArray[np.float16]:
    is_small = min(pixels.shape[:2]) < SIDE
    method = Image.Resampling.BILINEAR if is_small else Image.Resampling.BOX
    resized = Image.fromarray(_grey(pixels)).resize((SIDE, SIDE), method)
    thumbnail = np.asarray(resized, dtype=np.float32)
    thumbnail = thumbnail - thumbnail.mean()
    if thumbnail.std() <= _FLAT * np.abs(pixels).max():
        return np.zeros((SIDE, SIDE), dtype=np.float16)
    normalized = thumbnail / np.linalg.norm(thumbnail)
    return np.asarray(normalized, dtype=np.float16)


def _grey(pixels: NDArray[Any]) -> NDArray[np.float32]:
    channels = pixels.shape[2]
    if pixels.dtype == np.uint8 and channels == 3:
        # Many times as fast as numpy on large images.
        return np.asarray(Image.fromarray(pixels).convert("L"), dtype=np.float32)
    values = np.nan_to_num(pixels.astype(np.float32))
    if channels not in (3, 4):
        return np.asarray(values.mean(axis=2))
    grey = values[..., :3] @ _LUMINANCE
    if channels == 4:
        # Transparent images are seen on white.
        opacity = values[..., 3] / max(values[..., 3].max(), 1e-12)
        grey = grey * opacity + values.max() * (1 - opacity)
    return np.asarray(grey)

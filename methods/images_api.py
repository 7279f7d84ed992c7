"""A served model, as a method: it is asked over HTTP, as OpenAI's images API, vLLM-Omni and SGLang speak it.

    POST <endpoint>/images/generations    an image of a text
    POST <endpoint>/images/edits          a change of an image: the image before the edit goes with it as a PNG

One image a request, as PNG in base64. Each request is journalled before it is sent, and its answer when it comes, so
that a run that was killed does not ask twice for what it has. A refusal is an outcome with its code: the sample failed,
and nobody asks again. Busy servers are asked again with growing pauses. OpenAI's API has no seed: such images are
`unseeded` in the record. The key is read from an environment variable and stands in no file.

The image before an edit is drawn by the same model from the neutral text, unless a real one is given.
"""

import base64
import binascii
import hashlib
import json
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from t2ibench.core.decode import decoded_bytes
from t2ibench.core.errors import PartlyFailed, UserError
from t2ibench.core.images import encode_png
from t2ibench.core.ranges import Count, Positive, check_ranges
from t2ibench.core.records import digest
from t2ibench.core.settings import LATER, NO_IDENTITY
from t2ibench.core.storage import publish
from t2ibench.networks.models import Models
from t2ibench.tracks.contract import Edit, TextToImage

AGAIN = (408, 409, 429)  # and every status from 500
SPENT = ("insufficient_quota", "billing_hard_limit_reached")  # codes that no waiting mends: the run ends
LONGEST_WAIT = 120.0  # seconds that a server may ask for
PNG = "image/png"
Answer = np.ndarray | str  # pixels uint8 [H, W, 3], or why there are none
SEEDS = {"openai": 0, "vllm-omni": 2**32, "sglang": 2**32}  # seeds of a dialect are below this; 0: it has none


@dataclass(frozen=True)
class Config:
    endpoint: str = field(metadata=NO_IDENTITY)  # the address up to /v1, such as http://localhost:8000/v1
    model: str = ""  # the model's id there; "": the server's only one
    dialect: Literal["openai", "vllm-omni", "sglang"] = "openai"  # which fields it knows
    size: str = "1024x1024"  # width x height in pixels, which the answer must have
    steps: Count | None = None  # of denoising; null: the server's default. Not for openai
    guidance: float | None = None  # likewise
    # what an edit asks for; {} stands for the text of the image after it
    instruction: str = field(default="Change the image so that it shows {}. Change nothing else.", metadata=LATER)
    extra: dict[str, Any] = field(default_factory=dict)  # further fields of the request, sent as they are
    trained_on: str = "unknown"  # for the record
    key: str = field(default="OPENAI_API_KEY", metadata=NO_IDENTITY)  # the environment variable that holds the key
    concurrency: Count = field(default=4, metadata=NO_IDENTITY)  # requests in flight
    timeout: Positive = field(default=300.0, metadata=NO_IDENTITY)  # seconds for one answer
    tries: Count = field(default=6, metadata=NO_IDENTITY)  # of one request, while the server is busy

    def __post_init__(self) -> None:
        width, x, height = self.size.partition("x")
        if not (x and width.isdecimal() and height.isdecimal() and int(width) and int(height)):
            raise UserError(f"images_api: size is {self.size!r}, expected width x height such as 1024x1024")
        if not self.endpoint.startswith(("http://", "https://")):
            raise UserError(f"images_api: endpoint is {self.endpoint!r}, expected an address such as http://HOST/v1")
        if self.dialect == "openai" and (self.steps is not None or self.guidance is not None):
            raise UserError("images_api: openai takes neither steps nor guidance: leave them out, or name the dialect")
        if "{}" not in self.instruction:
            raise UserError(f"images_api: instruction is {self.instruction!r}, expected {{}} where the text stands")
        check_ranges(self, "images_api")


class Refused(Exception):
    """The server will not draw this. It is an outcome, and nobody asks again."""


class Method:
    """Asks a server for images."""

    def __init__(self, config: Config, models: Models) -> None:
        self.config, self.trained_on = config, config.trained_on
        self.folder = models.cache / "images_api"
        self.unseeded = not SEEDS[config.dialect]
        name = config.model or "the model of the server"
        facts = {"model": config.model, "dialect": config.dialect}
        models.used[name] = {"sha256": digest(facts), "data": config.trained_on, "optimised_for": None}

    def text_to_image(self, requests: Sequence[TextToImage]) -> Tensor:
        """One image per request, uint8 [B, 3, H, W]: row i depends on requests[i] alone, if the server has seeds.

        Raises PartlyFailed for what was refused, with the code, and for what no try brought. Raises UserError for a
        key that is missing or not accepted, a quota that is spent, and a server that nobody answers for.
        """
        return self.whole(self.at_once(self.drawn, requests))

    def unedited(self, requests: Sequence[Edit]) -> Tensor:
        """The image before each edit, uint8 [B, 3, H, W]: the one that was given, or an image of the neutral text.

        Raises as `text_to_image`, and for a given image of another size.
        """
        return self.whole(self.at_once(self.before, requests))

    def edit(self, requests: Sequence[Edit]) -> Tensor:
        """The image after each edit, uint8 [B, 3, H, W]. Raises as `unedited`."""
        self.at_once(self.before, list({(request.neutral, request.seed): request for request in requests}.values()))
        return self.whole(self.at_once(self.edited, requests))

    def at_once(self, answer: Callable[[Any], Answer], requests: Sequence[Any]) -> list[Answer]:
        with ThreadPoolExecutor(self.config.concurrency) as pool:
            return list(pool.map(answer, requests))

    def whole(self, answers: Sequence[Answer]) -> Tensor:
        """The images of answers, [B, 3, H, W]. Raises PartlyFailed where there is none."""
        width, height = map(int, self.config.size.split("x"))
        reasons = {row: answer for row, answer in enumerate(answers) if isinstance(answer, str)}
        blank = np.zeros((height, width, 3), np.uint8)
        pixels = np.stack([blank if isinstance(answer, str) else answer for answer in answers])
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
        if reasons:
            raise PartlyFailed(images, reasons)
        return images

    def drawn(self, request: TextToImage) -> Answer:
        return self.answer("generations", self.body(request.prompt, request.seed), request.seed)

    def before(self, request: Edit) -> Answer:
        if request.image is None:
            return self.drawn(TextToImage(request.neutral, request.seed))
        height, width = request.image.shape[1:]
        if f"{width}x{height}" != self.config.size:
            raise UserError(
                f"images_api: an image to edit has {width}x{height} pixels, {self.config.size} is asked for: name its "
                f"size as `size`"
            )
        return np.ascontiguousarray(request.image.transpose(1, 2, 0))

    def edited(self, request: Edit) -> Answer:
        before = self.before(request)
        if isinstance(before, str):
            return f"there is no image to edit: {before}"
        body = self.body(self.config.instruction.replace("{}", request.target), request.seed)
        return self.answer("edits", body, request.seed, encode_png(before.transpose(2, 0, 1)))

    def answer(self, what: str, body: Mapping[str, Any], seed: int, image: bytes | None = None) -> Answer:
        """The pixels [H, W, 3] of an answer, or why there is none.

        what: the end of the address. seed: of the request, also where the server takes none. image: a PNG to edit.
        """
        address = f"{self.config.endpoint.rstrip('/')}/images/{what}"
        sent = {**body, "image": hashlib.sha256(image).hexdigest()} if image is not None else dict(body)
        name = digest({"endpoint": self.config.endpoint, **sent, "of": seed})[:32]
        asked, answered = self.folder / f"{name}.request.json", self.folder / f"{name}.answer.json"
        if not answered.exists():
            publish(asked, json.dumps({"address": address, **sent}).encode())
            try:
                answer = self.ask(address, body, image)
            except Refused as error:
                answer = {"refused": str(error)}
            except OSError as error:  # no connection, no answer in time, or no try left
                return f"no answer from {self.config.endpoint}: {error}"
            publish(answered, json.dumps(answer).encode())
        return self.pixels(json.loads(answered.read_text("utf-8")), answered)

    def body(self, prompt: str, seed: int) -> dict[str, Any]:
        """The fields of a request. A seed is brought below the largest one that the server takes."""
        config = self.config
        body: dict[str, Any] = {"prompt": prompt, "n": 1, "size": config.size, "output_format": "png"}
        if config.model:
            body["model"] = config.model
        if limit := SEEDS[config.dialect]:
            body |= {"response_format": "b64_json", "seed": seed % limit}
            if config.steps is not None:
                body["num_inference_steps"] = config.steps
            if config.guidance is not None:
                body["guidance_scale"] = config.guidance
        return body | config.extra

    def ask(self, address: str, body: Mapping[str, Any], image: bytes | None = None) -> dict[str, Any]:
        """Send a request until it is answered: as JSON, or as a form where an image goes with it.

        Raises Refused, UserError, or OSError where no try brought an answer.
        """
        import requests

        key = os.environ.get(self.config.key, "")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        form = {name: value if isinstance(value, str) else json.dumps(value) for name, value in body.items()}
        sent = {"json": dict(body)} if image is None else {"data": form, "files": {"image": ("image.png", image, PNG)}}
        problem = "no try"
        for k in range(self.config.tries):
            try:
                answer = requests.post(address, headers=headers, timeout=self.config.timeout, **sent)
            except requests.RequestException as error:
                problem, pause = type(error).__name__, wait(k, {})
            else:
                status, content = answer.status_code, _json(answer.content)
                if status == 200:
                    return content
                said = problem_of(content)
                if said in SPENT:
                    raise UserError(f"images_api: {address}: {said}: the same command goes on when it is mended")
                if status in (401, 404) or (status == 403 and not said):
                    what = "the key of " + self.config.key if status == 401 else "the address"
                    raise UserError(f"images_api: {address} answers {status} ({said or 'no code'}): check {what}")
                problem, pause = f"{status} {said}".strip(), wait(k, answer.headers)
                if answer.headers.get("x-should-retry") == "false" or not (status in AGAIN or status >= 500):
                    details = content.get("error")
                    details = details.get("moderation_details") if isinstance(details, dict) else None
                    stage = details.get("moderation_stage", "") if isinstance(details, dict) else ""
                    raise Refused(", ".join(part for part in (f"refused: {problem}", stage) if part))
                if pause is None:
                    break
            if k + 1 < self.config.tries:
                time.sleep(pause or 0.0)
        raise OSError(f"{problem}, after {k + 1} tries")

    def pixels(self, answer: Mapping[str, Any], where: Path) -> np.ndarray | str:
        """The image of an answer, read by its content and not by the format that it names, or what is wrong with it."""
        if "refused" in answer:
            return str(answer["refused"])
        data = answer.get("data")
        coded = data[0].get("b64_json") if isinstance(data, list) and data and isinstance(data[0], dict) else None
        if not isinstance(coded, str):
            return f"the answer holds no image in base64 (fields {', '.join(sorted(map(str, answer)))[:80]})"
        try:
            image = decoded_bytes(base64.b64decode(coded, validate=True), str(where)).pixels
        except (binascii.Error, UserError) as error:
            return f"the image of the answer cannot be read ({error})"
        size = f"{image.shape[1]}x{image.shape[0]}"
        return image if size == self.config.size else f"the image has {size} pixels, {self.config.size} was asked for"


def problem_of(content: Mapping[str, Any]) -> str:
    """The code of an error, else its type; never its message, which may repeat the prompt."""
    error = content.get("error")
    if not isinstance(error, dict):
        return ""
    return str(error.get("code") or error.get("type") or "")


def wait(k: int, headers: Mapping[str, str]) -> float | None:
    """Seconds before the next try after try k: what the server asks for, else 0.5 * 2^k, at most 8, a little less.

    None where the server asks for more than two minutes.
    """
    asked = None
    try:
        if "retry-after-ms" in headers:
            asked = float(headers["retry-after-ms"]) / 1000
        elif "retry-after" in headers:
            asked = float(headers["retry-after"])
    except ValueError:
        try:
            asked = parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time()
        except (ValueError, TypeError):
            asked = None
    if asked is not None and asked >= 0:
        return asked if asked <= LONGEST_WAIT else None
    return min(8.0, 0.5 * 2.0**k) * random.uniform(0.75, 1.0)


def _json(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

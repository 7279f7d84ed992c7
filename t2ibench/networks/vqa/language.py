"""Any image-text-to-text model of transformers as one that answers questions, from a folder or from the hub.

One forward pass for a question, and the softmax, in float32 and over the whole vocabulary, of the logits behind the
prompt. `generate` is not used: it would return logits that the model's own generation settings have changed (repetition
penalty, suppressed tokens). Prompts are written by the model's chat template and padded on the left, so that the last
position is the end of every prompt. A model that thinks before it answers is told not to, and refused if it does so
nevertheless: its first token says nothing.

An answer is given by the spellings of a set that are one token, as its tokenizer sees them. `first_tokens` takes the
first token of every spelling instead, which is what GenEval 2's own code does. In Qwen's vocabulary the first token of
" 7" is a bare space, so there every count also collects P(space).
"""

import contextlib
import hashlib
import importlib.util
import inspect
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from t2ibench.core.errors import UserError
from t2ibench.core.files import file_hash
from t2ibench.networks.precision import full_float32
from t2ibench.networks.vqa.contract import FAILED, Answers, Sets, of_mass

HUB = "hub:"
READ = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")  # what is fetched and hashed
BATCH = 8
THOUGHT = ("<think>", "<|thinking|>")  # a prompt that ends so asks for thoughts first
INSTALL = "pip install 't2ibench[pipelines]'"


class LanguageModel:
    """Answers questions by a vision-language model; a `contract.VQA`.

    name: as the user gave it, without folders.
    dtype: of its weights, as they are stored.
    attention: the kernel of its attention, which changes the last digits.
    """

    def __init__(self, address: str, device: torch.device | None = None, first_tokens: bool = False) -> None:
        """address: a folder that `save_pretrained` wrote with model and processor, or `hub:owner/name@revision`.

        Raises UserError if it cannot be loaded, has no chat template, or if transformers is not installed.
        """
        if importlib.util.find_spec("transformers") is None:
            raise UserError(f"{address}: a vision-language model needs the package transformers: {INSTALL}")
        import transformers

        folder = place(address)
        self.name = address if address.startswith(HUB) else Path(address).resolve().name
        self.sha256, self.device = folder_hash(folder), device or torch.device("cpu")
        self.first_tokens, self.version = first_tokens, transformers.__version__
        with quietly():
            try:
                self.processor: Any = transformers.AutoProcessor.from_pretrained(folder, local_files_only=True)
                model: Any = transformers.AutoModelForImageTextToText.from_pretrained(
                    folder,
                    local_files_only=True,
                    use_safetensors=True,  # the hash is of these, and pickles could run code
                    torch_dtype="auto",  # the name that older versions know, too
                )
            except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
                reason = " ".join(str(error).split())[:200]
                raise UserError(
                    f"{address} is no image-text-to-text model that transformers {self.version} reads ({reason}): name "
                    f"a folder that save_pretrained wrote, with its processor, or {HUB}owner/name"
                ) from error
        self.model = model.to(self.device).eval().requires_grad_(False)
        takes = inspect.signature(model.forward).parameters
        self.last = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}  # others need gigabytes for all places
        self.dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
        self.attention = str(model.config._attn_implementation)
        self.tokenizer: Any = self.processor.tokenizer
        self.tokenizer.padding_side = "left"
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.template = str(self.processor.chat_template or self.tokenizer.chat_template or "")
        if not self.template:
            raise UserError(f"{address} has no chat template, so how it is asked is unknown: name an instructed model")
        if self.prompt("Is this a face?").rstrip().endswith(THOUGHT):
            raise UserError(f"{address} thinks before it answers, so its first token says nothing: name another model")

    def protocol(self, sets: Sets) -> dict[str, Any]:
        return {
            "vqa": self.name,
            "sha256": self.sha256,
            "answers": [list(spellings) for spellings in sets],
            "token_ids": self._members(sets),
            "tokens": "first token of every spelling" if self.first_tokens else "spellings of one token",
            "decoding": "softmax of the first token, one forward pass",
            "backend": f"transformers, {self.dtype}, {self.attention} attention",
        }

    def answers(
        self, images: Sequence[np.ndarray], rows: Sequence[int], questions: Sequence[str], sets: Sets
    ) -> Answers:
        members = self._members(sets)
        mass = np.zeros((len(questions), len(sets)), np.float32)
        chosen, free, reasons = np.full(len(questions), FAILED), [""] * len(questions), dict[str, None]()
        order = sorted(range(len(questions)), key=lambda number: (images[rows[number]].shape, len(questions[number])))
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            for numbers in self._tried(batch, images, rows, questions, reasons):
                some, probability = numbers
                mass[some], chosen[some] = of_mass(probability, members)
                for number, token in zip(some, probability.argmax(1), strict=True):
                    free[number] = self.tokenizer.decode([int(token)])
        return Answers(mass, chosen, free, list(reasons))

    def _tried(
        self,
        batch: list[int],
        images: Sequence[np.ndarray],
        rows: Sequence[int],
        questions: Sequence[str],
        reasons: dict[str, None],
    ) -> Iterator[tuple[list[int], np.ndarray]]:
        """The probabilities of a batch; of one question after the other where the batch broke down."""
        try:
            yield batch, self.probabilities([images[rows[n]] for n in batch], [questions[n] for n in batch])
        except Exception as error:  # the code of a model may raise anything; its outcome is counted as failed
            if isinstance(error, torch.OutOfMemoryError):
                torch.cuda.empty_cache()
            if len(batch) == 1:
                reasons[f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"] = None
                return
            for number in batch:
                yield from self._tried([number], images, rows, questions, reasons)

    @torch.no_grad()
    @full_float32()
    def probabilities(self, images: Sequence[np.ndarray], questions: Sequence[str]) -> np.ndarray:
        """P of every token as the first of the answer, float32 [N, V]. images: uint8 [3, H, W], one a question."""
        pictures = [[Image.fromarray(image.transpose(1, 2, 0))] for image in images]
        inputs = self.processor(
            text=[self.prompt(question) for question in questions], images=pictures, return_tensors="pt", padding=True
        )
        inputs = inputs.to(self.device)
        for key, value in inputs.items():
            if torch.is_tensor(value) and value.is_floating_point():
                inputs[key] = value.to(self.model.dtype)
        logits = self.model(**inputs, **self.last).logits[:, -1].float()
        if not torch.isfinite(logits).all():
            raise ValueError("its logits are NaN or infinite")
        return logits.softmax(1).cpu().numpy()

    def prompt(self, question: str) -> str:
        """The text that the model reads for a question about one image."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        thoughts = {"enable_thinking": False} if "enable_thinking" in self.template else {}
        return self.processor.apply_chat_template(
            [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False, **thoughts
        )

    def _members(self, sets: Sets) -> list[list[int]]:
        """The tokens of every answer. Raises UserError for an answer that has none."""
        found = []
        for spellings in sets:
            coded = [self.tokenizer.encode(text, add_special_tokens=False) for text in spellings]
            unknown = self.tokenizer.unk_token_id
            ids = [tokens[0] for tokens in coded if tokens and (self.first_tokens or len(tokens) == 1)]
            ids = sorted({token for token in ids if token != unknown})
            if not ids:
                raise UserError(
                    f"{self.name}: none of the spellings {list(spellings)} is one token of its vocabulary: name other "
                    f"spellings, or another model"
                )
            found.append(ids)
        return found


def place(address: str) -> Path:
    """The folder of a model, which is fetched if the address begins with `hub:`.

    Raises UserError if it is missing, or can neither be fetched nor is in the hub's cache.
    """
    if not address.startswith(HUB):
        if not (Path(address) / "config.json").is_file():
            raise UserError(
                f"{address} is no folder of a model (config.json is missing): give one that save_pretrained wrote, or "
                f"{HUB}owner/name"
            )
        return Path(address)
    name, _, revision = address.removeprefix(HUB).partition("@")
    if name.count("/") != 1 or not all(name.split("/")):
        raise UserError(f"{address!r}: expected {HUB}owner/name or {HUB}owner/name@revision")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision or None, allow_patterns=list(READ)))
    except (OSError, ValueError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise UserError(
            f"{address} can neither be fetched nor is it in the hub's cache ({reason}): correct the name, log in, go "
            f"online, or give a folder"
        ) from error


def folder_hash(folder: Path) -> str:
    """One sha256 of the names and contents of everything that is read from a model's folder."""
    names = sorted({path.name for pattern in READ for path in folder.glob(pattern)})
    lines = [f"{name} {file_hash(folder / name)}" for name in names]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without the bars and advice that transformers prints when it loads a model."""
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()

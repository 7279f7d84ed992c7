"""A pipeline as a suite wants it: read from disk, with its scheduler, its LoRA, and arguments that its call takes."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError

from t2ibench.errors import UserError, did_you_mean
from t2ibench.methods.diffusers_pipeline.places import INSTALL, Place, read_index
from t2ibench.methods.diffusers_pipeline.settings import Config

BROKEN = (OSError, ValueError, TypeError, KeyError, AttributeError, ImportError, RuntimeError, SafetensorError)  # of files that do not fit
OURS = ("prompt", "image", "generator", "output_type", "num_images_per_prompt", "return_dict", "strength")  # arguments of each request
T = TypeVar("T")


def load(place: Place, config: Config, lora: Place | None, device: torch.device) -> Any:
    """The pipeline on its device. Raises UserError for files that cannot be read or do not fit together."""
    import diffusers

    name = read_index(place.path)["_class_name"]
    if isinstance(name, str) and not hasattr(diffusers, name):
        raise UserError(f"diffusers_pipeline: {place.path} is a {name}, which diffusers {diffusers.__version__} does not have: update it")
    options = {"torch_dtype": getattr(torch, config.dtype), "variant": config.weights_variant or None}
    options |= {"trust_remote_code": config.trust_code}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch_dtype.* is deprecated")  # older versions of diffusers know no other name
        pipeline = read(place, lambda: diffusers.DiffusionPipeline.from_pretrained(place.path, **options))
    if config.scheduler or config.scheduler_settings:
        pipeline.scheduler = scheduler(pipeline, config.scheduler, config.scheduler_settings)
    if lora is not None:
        add_lora(pipeline, lora, config.lora_scale)
    pipeline.set_progress_bar_config(disable=True)
    try:
        return pipeline.to(device)
    except torch.OutOfMemoryError as error:
        raise UserError(f"diffusers_pipeline: {place.name} does not fit into the memory of {device}: use dtype: float16") from error


def read(place: Place, load: Callable[[], T]) -> T:
    """What a library reads of a folder. Raises UserError with what it says."""
    try:
        return load()
    except BROKEN as error:
        said = " ".join(str(error).split())[:300]
        raise UserError(f"diffusers_pipeline: {place.path} cannot be read ({type(error).__name__}: {said}): check the folder") from error


def scheduler(pipeline: Any, name: str, settings: Mapping[str, Any]) -> Any:
    """A scheduler with the noise of the pipeline's own; name "": the same class. Raises UserError for one that does not fit."""
    import diffusers
    from diffusers import SchedulerMixin

    own = getattr(pipeline, "scheduler", None)
    if own is None:
        raise UserError(f"diffusers_pipeline: {type(pipeline).__name__} has no scheduler: take `scheduler` out")
    cls = getattr(diffusers, name, None) if name else type(own)
    fitting = {fit.__name__: fit for fit in own.compatibles} if isinstance(own, SchedulerMixin) else {}
    if not inspect.isclass(cls) or not (cls in fitting.values() or issubclass(cls, type(own)) or type(own).__name__ in _named(cls)):
        raise UserError(f"diffusers_pipeline: no scheduler of {type(pipeline).__name__} is called {name!r}{did_you_mean(name, fitting)}")
    takes = inspect.signature(cls.__init__).parameters
    for key in settings:
        if key not in takes:
            raise UserError(f"diffusers_pipeline: scheduler_settings: {cls.__name__} has no {key!r}{did_you_mean(key, takes)}")
    try:
        return cls.from_config(own.config, **settings)
    except (ImportError, ValueError, NotImplementedError) as error:
        raise UserError(f"diffusers_pipeline: {cls.__name__} cannot be made ({' '.join(str(error).split())[:200]})") from error


def _named(cls: type) -> list[str]:
    """The classes that a scheduler says it can stand in for."""
    return list(getattr(cls, "_compatibles", []))


def add_lora(pipeline: Any, lora: Place, scale: float) -> None:
    """Fuse a LoRA into the weights. Raises UserError where the pipeline takes none, or peft is not installed."""
    if not hasattr(pipeline, "load_lora_weights"):
        raise UserError(f"diffusers_pipeline: {type(pipeline).__name__} takes no LoRA: take `lora` out")
    from diffusers.utils import is_peft_available

    if not is_peft_available():
        raise UserError(f"diffusers_pipeline: lora needs the package peft: {INSTALL}")
    read(lora, lambda: pipeline.load_lora_weights(lora.path))
    read(lora, lambda: pipeline.fuse_lora(lora_scale=scale))
    pipeline.unload_lora_weights()


def check_call(pipeline: Any, needed: Mapping[str, str], given: Mapping[str, Any]) -> None:
    """Raises UserError where a pipeline's call lacks what is needed (argument -> what for), or what the settings give."""
    takes = inspect.signature(type(pipeline).__call__).parameters
    name = type(pipeline).__name__
    for argument, purpose in needed.items():
        if argument not in takes:
            raise UserError(f"diffusers_pipeline: {name} takes no {argument}, so it cannot {purpose}: use another pipeline")
    for argument in given:
        if argument in OURS:
            raise UserError(f"diffusers_pipeline: arguments: {argument} is given by each request: take it out")
        if argument not in takes:
            raise UserError(f"diffusers_pipeline: {name} takes no {argument}{did_you_mean(argument, takes)}")

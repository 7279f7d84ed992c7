"""Reading a pipeline from disk, with the scheduler and the LoRA of the suite, and checking its call's arguments."""

import inspect
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.methods.diffusers_pipeline import whole
from t2ibench.methods.diffusers_pipeline.places import INSTALL, Place, read_index
from t2ibench.methods.diffusers_pipeline.settings import Config
from t2ibench.methods.diffusers_pipeline.whole import read

# arguments that each request gives, and no setting may
OURS = (
    "prompt",
    "image",
    "control_image",
    "generator",
    "output_type",
    "num_images_per_prompt",
    "return_dict",
    "strength",
)
DISTILLED = ("LCMScheduler", "TCDScheduler")  # few steps of a distilled model, on the noise schedule of its teacher


def load(place: Place, config: Config, lora: Place | None, device: torch.device) -> Any:
    """The pipeline on its device. Raises UserError for files that cannot be read or do not fit together."""
    import diffusers

    name = read_index(place.path)["_class_name"]
    if isinstance(name, str) and not hasattr(diffusers, name):
        raise UserError(
            f"diffusers_pipeline: {place.path} is a {name}, which diffusers {diffusers.__version__} does not have: "
            f"update it"
        )
    options = {"torch_dtype": getattr(torch, config.dtype), "variant": config.weights_variant or None}
    options |= {"trust_remote_code": config.trust_code}
    with _older_names():
        parts = whole.networks(place, options)
        pipeline = read(place, lambda: diffusers.DiffusionPipeline.from_pretrained(place.path, **options, **parts))
    if config.scheduler or config.scheduler_settings:
        pipeline.scheduler = scheduler(pipeline, config.scheduler, config.scheduler_settings)
    _older_parts(pipeline)
    if lora is not None:
        add_lora(pipeline, lora, config)
    pipeline.set_progress_bar_config(disable=True)
    try:
        return placed(pipeline, config.offload, device)
    except torch.OutOfMemoryError as error:
        raise UserError(
            f"diffusers_pipeline: {place.name} does not fit into the memory of {device}: use dtype: float16, or "
            f"offload: networks"
        ) from error


def placed(pipeline: Any, offload: str, device: torch.device) -> Any:
    """The pipeline on its device, or in the processor's memory with parts that go there when they are needed."""
    if offload == "none" or device.type == "cpu":
        return pipeline.to(device)
    if offload == "networks":
        pipeline.enable_model_cpu_offload(device=device)
    else:
        pipeline.enable_sequential_cpu_offload(device=device)
    return pipeline


@contextmanager
def _older_names() -> Iterator[None]:
    """Silences the warning about `torch_dtype`: older versions of diffusers do not know the newer name."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch_dtype.* is deprecated")
        yield


def _older_parts(pipeline: Any) -> None:
    """Gives a text encoder of transformers 5 the name `text_model`, by which diffusers reaches its last norm.

    Without it `clip_skip` ends in an AttributeError. It is a second name and no second part, so nothing is saved twice.
    """
    encoder = pipeline.components.get("text_encoder")
    if hasattr(encoder, "final_layer_norm") and not hasattr(encoder, "text_model"):
        object.__setattr__(encoder, "text_model", encoder)


def scheduler(pipeline: Any, name: str, settings: Mapping[str, Any]) -> Any:
    """A scheduler with the noise schedule of the pipeline's scheduler.

    name: its class; "": the class of the pipeline's scheduler.
    settings: what differs from the pipeline's scheduler.

    A class fits if diffusers lists it as compatible, or if its guides put it in the place of such a scheduler (LCM,
    TCD).

    Raises UserError for a class that does not fit the pipeline, or a setting that it does not have.
    """
    import diffusers

    present: Any = getattr(pipeline, "scheduler", None)
    if present is None:
        raise UserError(f"diffusers_pipeline: {type(pipeline).__name__} has no scheduler: take `scheduler` out")
    cls: Any = getattr(diffusers, name, None) if name else type(present)
    fitting = {fit.__name__: fit for fit in getattr(present, "compatibles", [])}
    alike = {kind.name for kind in diffusers.schedulers.KarrasDiffusionSchedulers} | set(DISTILLED)
    if type(present).__name__ in alike:
        fitting |= {kind: getattr(diffusers, kind) for kind in DISTILLED}
    if not inspect.isclass(cls) or not (
        cls in fitting.values()
        or issubclass(cls, type(present))
        or type(present).__name__ in _named(cls)
        or {cls.__name__, type(present).__name__} <= alike
    ):
        raise UserError(
            f"diffusers_pipeline: no scheduler of {type(pipeline).__name__} is called "
            f"{name!r}{did_you_mean(name, fitting)}"
        )
    takes = inspect.signature(cls.__init__).parameters
    for key in settings:
        if key not in takes:
            raise UserError(
                f"diffusers_pipeline: scheduler_settings: {cls.__name__} has no {key!r}{did_you_mean(key, takes)}"
            )
    try:
        chosen: Any = cls
        return chosen.from_config(present.config, **settings)
    except (ImportError, ValueError, NotImplementedError) as error:
        raise UserError(
            f"diffusers_pipeline: {cls.__name__} cannot be made ({' '.join(str(error).split())[:200]})"
        ) from error


def _named(cls: type) -> list[str]:
    """The names of the classes that a scheduler class says it can replace."""
    return list(getattr(cls, "_compatibles", []))


def add_lora(pipeline: Any, lora: Place, config: Config) -> None:
    """Fuse a LoRA into the weights.

    Raises UserError if the pipeline takes none, if a part of the LoRA fits no layer, or if peft is not installed.
    """
    if not hasattr(pipeline, "load_lora_weights"):
        raise UserError(f"diffusers_pipeline: {type(pipeline).__name__} takes no LoRA: take `lora` out")
    from diffusers.utils import is_peft_available

    if not is_peft_available():
        raise UserError(f"diffusers_pipeline: lora needs the package peft: {INSTALL}")
    read(lora, lambda: pipeline.load_lora_weights(lora.path))
    whole.check_lora(pipeline, lora, getattr(torch, config.dtype))
    read(lora, lambda: pipeline.fuse_lora(lora_scale=config.lora_scale))
    pipeline.unload_lora_weights()


def image_to_image(pipeline: Any) -> Any:
    """A pipeline that repaints images with the same networks. Raises UserError if diffusers has none."""
    from diffusers import AutoPipelineForImage2Image

    return _form(
        pipeline,
        AutoPipelineForImage2Image,
        "image-to-image form, so it cannot edit: keep it out by tracks: [text_to_image]",
    )


def with_controlnets(pipeline: Any, nets: Sequence[Any]) -> Any:
    """A pipeline with the same networks that also reads maps through ControlNets.

    Raises UserError if diffusers has none.
    """
    from diffusers import AutoPipelineForText2Image

    networks = nets[0] if len(nets) == 1 else list(nets)
    return _form(pipeline, AutoPipelineForText2Image, "ControlNet form: take `controlnets` out", controlnet=networks)


def controlnet(place: Place, dtype: str, device: torch.device) -> Any:
    """One ControlNet, of the class that its config names. Raises UserError if the folder holds no ControlNet."""
    import diffusers

    path = place.path / "config.json"
    name = read(place, lambda: json.loads(path.read_text("utf-8"))["_class_name"])
    if not hasattr(diffusers, name) or "ControlNet" not in name:
        raise UserError(
            f"diffusers_pipeline: controlnets: {place.path} is a {name}, expected a ControlNet that save_pretrained "
            f"wrote"
        )
    with _older_names():
        options = {"torch_dtype": getattr(torch, dtype)}
        net = whole.network(place, getattr(diffusers, name), place.path, options)
    return net.to(device)


def _form(pipeline: Any, auto: Any, lacking: str, **parts: Any) -> Any:
    try:
        with _older_names():
            form = auto.from_pipe(pipeline, **parts)
    except ValueError as error:
        raise UserError(f"diffusers_pipeline: {type(pipeline).__name__} has no {lacking}") from error
    form.set_progress_bar_config(disable=True)
    return form


def native_size(pipeline: Any, config: Config) -> tuple[int, int]:
    """Height and width of the images that a pipeline draws. Raises UserError if neither it nor the config says."""
    if config.height and config.width:
        return config.height, config.width
    network = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    latent = getattr(pipeline, "default_sample_size", None) or getattr(
        getattr(network, "config", None), "sample_size", None
    )
    scale = getattr(pipeline, "vae_scale_factor", None)
    if not latent or not scale:
        raise UserError(
            f"diffusers_pipeline: {type(pipeline).__name__} does not say how large its images are: set height and width"
        )
    height, width = latent if isinstance(latent, list | tuple) else (latent, latent)
    return config.height or height * scale, config.width or width * scale


def takes(pipeline: Any, argument: str) -> bool:
    """Whether a pipeline's call has an argument of this name."""
    return argument in inspect.signature(type(pipeline).__call__).parameters


def check_call(pipeline: Any, needed: Mapping[str, str], given: Mapping[str, Any]) -> None:
    """Raises UserError if a pipeline's call lacks an argument.

    needed: the arguments that the method uses, and what for.
    given: the arguments that the settings give.
    """
    takes = inspect.signature(type(pipeline).__call__).parameters
    name = type(pipeline).__name__
    for argument, purpose in needed.items():
        if argument not in takes:
            raise UserError(
                f"diffusers_pipeline: {name} takes no {argument}, so it cannot {purpose}: use another pipeline"
            )
    for argument in given:
        if argument in OURS:
            raise UserError(f"diffusers_pipeline: arguments: {argument} is given by each request: take it out")
        if argument not in takes:
            raise UserError(f"diffusers_pipeline: {name} takes no {argument}{did_you_mean(argument, takes)}")

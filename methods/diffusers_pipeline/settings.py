"""The settings of a pipeline. A setting that a suite leaves out is the pipeline's."""

from dataclasses import dataclass, field
from typing import Any, Literal

from t2ibench.core.errors import UserError, did_you_mean
from t2ibench.core.ranges import Count, SomeShare, check_ranges
from t2ibench.core.settings import NO_IDENTITY

MAPS = ("sketch", "instances", "depth", "intensity")  # conditions that are maps


@dataclass(frozen=True)
class Config:
    """An address is a folder, or `hub:owner/name` with an optional `@revision`. Only `hub:` fetches anything."""

    model: str  # a folder that save_pretrained wrote, or one of the hub
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    weights_variant: str = ""  # "fp16" reads diffusion_pytorch_model.fp16.safetensors
    scheduler: str = ""  # a class of diffusers: EulerDiscreteScheduler
    scheduler_settings: dict[str, Any] = field(default_factory=dict)  # {use_karras_sigmas: true}
    steps: Count | None = None
    guidance_scale: float | None = None
    negative_prompt: str = ""
    height: Count | None = None
    width: Count | None = None
    arguments: dict[str, Any] = field(default_factory=dict)  # whatever else the pipeline's call takes: {clip_skip: 1}
    lora: str = ""  # address of weights that `load_lora_weights` reads
    lora_scale: float = 1.0
    # condition -> address: {sketch: hub:owner/name, depth: folder}
    controlnets: dict[str, str] = field(default_factory=dict)
    source_prompt: str = "a person"  # draws the image that an edit starts from, if no real one is given
    strength: SomeShare = 0.6  # of an edit: the share of the steps that are taken again
    side: Count | None = None  # pixels to which finished images are scaled, for a data set of smaller ones; None: not
    pass_size: Count = 1  # images drawn at once; more is faster on a GPU, and changes the last bits
    # what waits in the memory of the processor until it is needed: nothing, whole networks, or single layers, which is
    # the slowest and needs the least memory. It changes no image, and does nothing where networks run on the processor
    offload: Literal["none", "networks", "layers"] = field(default="none", metadata=NO_IDENTITY)
    trust_code: bool = False  # Python files of the model may be run
    trained_on: str = "unknown"  # for the record

    def __post_init__(self) -> None:
        """Raises UserError for numbers out of range and for unknown conditions."""
        check_ranges(self, "diffusers_pipeline")
        if self.lora_scale != 1.0 and not self.lora:
            raise UserError("diffusers_pipeline: lora_scale has no effect without lora: take it out, or name one")
        for name in self.controlnets:
            if name not in MAPS:
                raise UserError(
                    f"diffusers_pipeline: controlnets: no condition is called {name!r}{did_you_mean(name, MAPS)}"
                )

    @property
    def call(self) -> dict[str, Any]:
        """The keyword arguments of a pipeline's call that the settings give, by diffusers' names."""
        numbers = {
            "num_inference_steps": self.steps,
            "guidance_scale": self.guidance_scale,
            "height": self.height,
            "width": self.width,
        }
        arguments = {**numbers, "negative_prompt": self.negative_prompt or None}
        return {**self.arguments, **{name: value for name, value in arguments.items() if value is not None}}

"""The base rebuilt from weights of the zoo and the config of their card alone."""

import dataclasses

import torch

from t2ibench import plugins
from t2ibench.errors import UserError
from t2ibench.methods.composer.network import Denoiser
from t2ibench.methods.composer.settings import Shape
from t2ibench.zoo import Weights


def load_denoiser(weights: Weights) -> Denoiser:
    """The denoiser in evaluation mode. Raises UserError where tensors and card do not fit."""
    try:
        shape = plugins.configure(Shape, {field.name: weights.config[field.name] for field in dataclasses.fields(Shape)}, weights.name)
        with torch.device("meta"):  # no random number is drawn for parameters that are replaced at once
            model = Denoiser(shape)
        model.load_state_dict(dict(weights.tensors), assign=True)
    except (KeyError, RuntimeError) as error:
        line = str(error).splitlines()[-1].strip()
        raise UserError(f"{weights.name}: weights do not fit the config of their card ({line}): train or fetch them again") from error
    return model.eval().requires_grad_(False)

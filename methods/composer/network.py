"""The denoiser: diffusers' UNet as trunk, with the conditioner of Composer around it.

The trunk is the UNet of GLIDE and ADM: blocks whose keys and values are those of the context and of the pixels, one
softmax over both (diffusers calls them "Simple"), scale-shift norms, and resampling inside the residual blocks.
"""

from typing import Any

import torch
from torch import Tensor, nn

from t2ibench.methods.composer import diffusion
from t2ibench.methods.composer.conditioner import Conditioner, Context
from t2ibench.methods.composer.conditions import Conditions
from t2ibench.methods.composer.settings import Shape


class Denoiser(nn.Module):
    """epsilon_theta(x_t, t, conditions)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape, self.conditioner, self.trunk, self.abar = (
            shape,
            Conditioner(shape),
            build_trunk(shape),
            diffusion.alphas_bar(),
        )

    def forward(self, x: Tensor, t: Tensor, conditions: Conditions) -> Tensor:
        """Predicted noise [B, 3 or 6, R, R] of x_t, [B, 3, R, R], at integer times [B] in 0 ... 999."""
        return self.predict(x, t, self.conditioner(conditions))

    def predict(self, x: Tensor, t: Tensor, context: Context) -> Tensor:
        """The same for conditions that are embedded already.

        If the trunk predicts v, the noise is sqrt(1 - abar) x_t + sqrt(abar) v.
        """
        inputs = torch.cat([x, context.local], 1)
        output = self.trunk(
            inputs,
            t,
            encoder_hidden_states=context.tokens,
            class_labels=context.vector,
            encoder_attention_mask=context.mask,
        ).sample
        if self.shape.prediction == "epsilon":
            return output
        signal = self.abar.to(x.device)[t].view(-1, 1, 1, 1)
        return (1 - signal).sqrt() * x + signal.sqrt() * output[:, :3].float()

    def guided(self, x: Tensor, t: Tensor, c1: Context, c2: Context, scale: float) -> Tensor:
        """w * eps(x_t, c2) + (1 - w) * eps(x_t, c1) for two sets of conditions, [B, 3, R, R].

        What is in c2 alone weighs w, in c1 alone 1 - w, in both 1. No eps of c1 is computed where w = 1.
        """
        wanted = self.predict(x, t, c2)[:, :3]
        return wanted if scale == 1 else guide(self.predict(x, t, c1)[:, :3], wanted, scale)


def guide(eps1: Tensor, eps2: Tensor, scale: float) -> Tensor:
    """The guided noise of two predictions, as a sum of two products: w = 1 is eps2 and w = 0 is eps1, bit for bit."""
    return scale * eps2 + (1 - scale) * eps1


def build_trunk(shape: Shape) -> nn.Module:
    """An untrained trunk.

    As in GLIDE, the last layer of each residual block, of each attention and of the whole trunk starts at zero.
    """
    from diffusers import UNet2DConditionModel

    attends = [shape.image_size // 2**level in shape.attention for level in range(len(shape.channel_mult))]
    trunk: Any = UNet2DConditionModel(
        sample_size=shape.image_size,
        in_channels=3 + shape.local_channels,
        out_channels=shape.out_channels,
        down_block_types=tuple("SimpleCrossAttnDownBlock2D" if here else "ResnetDownsampleBlock2D" for here in attends),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=tuple(
            "SimpleCrossAttnUpBlock2D" if here else "ResnetUpsampleBlock2D" for here in reversed(attends)
        ),
        block_out_channels=tuple(multiple * shape.base_channels for multiple in shape.channel_mult),
        layers_per_block=shape.num_res_blocks,
        dropout=shape.dropout,
        norm_num_groups=shape.gn_groups,
        cross_attention_dim=shape.ctx_dim,
        attention_head_dim=shape.head_channels,
        resnet_time_scale_shift="scale_shift",
        class_embed_type="identity",  # the vector of the global conditions is added to the timestep embedding as it is
        flip_sin_to_cos=True,
        freq_shift=0,
    )
    for layer in last_layers(trunk):
        for parameter in layer.parameters():
            nn.init.zeros_(parameter)
    return trunk


def last_layers(trunk: Any) -> list[nn.Module]:
    """The layers whose output is added to a residual stream, and the very last one."""
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D

    layers: list[nn.Module] = [module.conv2 for module in trunk.modules() if isinstance(module, ResnetBlock2D)]
    layers += [module.to_out[0] for module in trunk.modules() if isinstance(module, Attention)]
    return [*layers, trunk.conv_out]

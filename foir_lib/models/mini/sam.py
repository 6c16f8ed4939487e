"""mini-sam: a SAM of transformers, small enough for a laptop, that knows the things of mini-needles."""

import torch
import transformers
from torch import nn

from foir_lib.models.mini import starts

NAME = "mini-sam"
SIDE, PATCH = 288, 12  # pixels: 24 x 24 tokens, masks of 96 x 96 cells
PADDING = 0.0  # it normalises first and pads then
WIDTH, DEPTH, HEADS, WINDOW = 96, 3, 4, 8
HIDDEN = 64  # of prompt encoder and mask decoder
STATISTICS = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def create() -> "transformers.SamModel":
    """An untrained mini-sam: window attention but for the last block, a decoder of two layers; it starts as `starts` says.

    Positions of prompts are waves of x and of y from eight sides to four cells, so that corners tell left from right;
    transformers' own, random ones with a spread of 48, are there for weights to be loaded over.
    """
    size = {"image_size": SIDE, "patch_size": PATCH}
    vision = {
        "hidden_size": WIDTH, "num_hidden_layers": DEPTH, "num_attention_heads": HEADS, "mlp_ratio": 2.0, "window_size": WINDOW,
        "global_attn_indexes": [DEPTH - 1], "output_channels": HIDDEN, "num_pos_feats": HIDDEN // 2, "initializer_range": 0.02,
        "use_rel_pos": False,
    }  # fmt: skip
    decoder = {"hidden_size": HIDDEN, "mlp_dim": 2 * HIDDEN, "num_attention_heads": 4, "iou_head_hidden_dim": HIDDEN}
    config = transformers.SamConfig(
        vision_config=vision | size, prompt_encoder_config={"hidden_size": HIDDEN} | size, mask_decoder_config=decoder
    )
    net = transformers.SamModel(config)
    for part in (net.mask_decoder, net.prompt_encoder, net.vision_encoder.neck):
        for module in part.modules():  # as SAM's own code has them: with transformers' spread of 0.02 the first masks are all alike
            if isinstance(module, (nn.Linear, nn.Embedding, nn.Conv2d, nn.ConvTranspose2d)):
                module.reset_parameters()
    with torch.no_grad():
        encoder, side, waves = net.vision_encoder, SIDE // PATCH, torch.logspace(-4, 2, HIDDEN // 4, base=2)
        net.shared_image_embedding.positional_embedding.copy_(torch.block_diag(waves, waves))
        encoder.patch_embed.projection.weight.copy_(starts.cosines(WIDTH, PATCH))
        encoder.pos_embed.copy_(0.5 * starts.positions(side, WIDTH, HEADS).view(1, side, side, WIDTH))
        for layer in encoder.layers:
            starts.look_near(*layer.attn.qkv.weight.chunk(3)[:2])
    return net


def processor() -> "transformers.SamProcessor":
    """What prepares a picture and its prompts: the longer side resized, padded right and bottom."""
    pictures = transformers.SamImageProcessor(
        size={"longest_edge": SIDE}, pad_size={"height": SIDE, "width": SIDE}, **STATISTICS
    )
    return transformers.SamProcessor(pictures)

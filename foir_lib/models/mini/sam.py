"""mini-sam: a SAM of transformers, small enough for a laptop, that knows the things of mini-needles."""

import torch
import transformers

from foir_lib.models.mini import starts

NAME = "mini-sam"
SIDE, PATCH = 288, 12  # pixels: 24 x 24 tokens, masks of 96 x 96 cells
PADDING = 0.0  # it normalises first and pads then
WIDTH, DEPTH, HEADS, WINDOW = 96, 4, 4, 8
HIDDEN = 64  # of prompt encoder and mask decoder
STATISTICS = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def create() -> "transformers.SamModel":
    """An untrained mini-sam: window attention but for the last block, a decoder of two layers; it starts as `starts` says.

    Positions of prompts are drawn with a spread of 2, so that they tell cells apart: transformers' own, of 48, would tell noise.
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
    with torch.no_grad():
        net.shared_image_embedding.positional_embedding.normal_(0, 2)
        encoder, side = net.vision_encoder, SIDE // PATCH
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

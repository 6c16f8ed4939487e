"""mini-owl: an OWLv2 of transformers, small enough for a laptop, that knows the things of mini-needles."""

import torch
import transformers

from foir_lib.models.mini import starts

NAME = "mini-owl"
SIDE, PATCH = 320, 16  # pixels: 20 x 20 tokens
PADDING = -1.0  # black: it pads first and normalises then
WIDTH, DEPTH, HEADS = 128, 4, 4
STATISTICS = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}


def create() -> "transformers.Owlv2ForObjectDetection":
    """An untrained mini-owl; its text half, which objectness never asks, is a token.

    It starts as `starts` says, its heads small (transformers draws them with a spread of 1, for weights to be loaded over),
    boxes at the size of two patches and objectness at 2 %.
    """
    vision = {"hidden_size": WIDTH, "intermediate_size": 2 * WIDTH, "num_hidden_layers": DEPTH, "num_attention_heads": HEADS}
    text = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 4}
    text |= {"max_position_embeddings": 4, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.Owlv2Config(
        vision_config=vision | {"image_size": SIDE, "patch_size": PATCH}, text_config=text, projection_dim=8
    )
    net = transformers.Owlv2ForObjectDetection(config)
    with torch.no_grad():
        embeddings = net.owlv2.vision_model.embeddings
        embeddings.patch_embedding.weight.copy_(starts.cosines(WIDTH, PATCH))
        embeddings.position_embedding.weight[1:] = 0.5 * starts.positions(SIDE // PATCH, WIDTH, HEADS)
        for layer in net.owlv2.vision_model.encoder.layers:
            starts.look_near(layer.self_attn.q_proj.weight, layer.self_attn.k_proj.weight)
        for head in (net.box_head, net.objectness_head):
            for layer in (head.dense0, head.dense1, head.dense2):
                layer.reset_parameters()
            head.dense2.weight.mul_(0.1)
        net.box_head.dense2.bias.copy_(torch.tensor([0.0, 0.0, 0.7, 0.7]))
        net.objectness_head.dense2.bias.fill_(-4.0)
    return net


def processor() -> "transformers.Owlv2ImageProcessor":
    """What prepares a picture: padded right and bottom to a square, resized."""
    return transformers.Owlv2ImageProcessor(size={"height": SIDE, "width": SIDE}, **STATISTICS)

"""Random networks of the real classes, small enough for tests, in folders and files as the real weights come in."""

import torch
import transformers
from safetensors.torch import save_file

from foir_lib.models.matchers import keypoints


def loftr(folder, seed=0):
    """An EfficientLoFTR of 96 px that takes every mutual match."""
    torch.manual_seed(seed)
    config = transformers.EfficientLoFTRConfig(
        stage_num_blocks=[1, 1, 1, 1], out_features=[16, 16, 16, 32], hidden_size=32, num_attention_layers=1, num_attention_heads=8,
        coarse_matching_threshold=0.0, coarse_matching_border_removal=0,
    )  # fmt: skip
    transformers.EfficientLoFTRForKeypointMatching(config).save_pretrained(folder)
    transformers.EfficientLoFTRImageProcessor(size={"height": 96, "width": 96}).save_pretrained(folder)
    return str(folder)


BACKBONE = {
    "model_type": "sam2_hiera_det_model", "hidden_size": 8, "num_attention_heads": 1, "blocks_per_stage": [1, 1, 2, 1],
    "embed_dim_per_stage": [8, 16, 32, 64], "num_attention_heads_per_stage": [1, 1, 2, 2], "window_size_per_stage": [4, 4, 4, 4],
    "global_attention_blocks": [3], "image_size": [128, 128], "window_positional_embedding_background_size": [4, 4],
}  # fmt: skip
VISION = {
    "backbone_config": BACKBONE, "backbone_channel_list": [64, 32, 16, 8], "backbone_feature_sizes": [[32, 32], [16, 16], [8, 8]],
    "fpn_hidden_size": 128,
}  # fmt: skip


def sam2(folder, seed=0):
    """A SAM 2 video model of 128 px."""
    torch.manual_seed(seed)
    config = transformers.Sam2VideoConfig(
        vision_config=VISION, image_size=128,
        prompt_encoder_config={"hidden_size": 128, "image_size": 128, "patch_size": 16, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32},
        memory_attention_hidden_size=128, memory_attention_num_layers=1, memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[8, 8], memory_encoder_hidden_size=128, memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=128, memory_fuser_embed_dim=128, memory_fuser_intermediate_dim=32, memory_fuser_num_layers=1,
    )  # fmt: skip
    transformers.Sam2VideoModel(config).save_pretrained(folder)
    transformers.Sam2ImageProcessor(size={"height": 128, "width": 128}).save_pretrained(folder)
    return str(folder)


def matchers(folder, seed=0):
    """A folder with the files of random ALIKED, DISK, XFeat and LightGlue."""
    import kornia.feature as kornia

    torch.manual_seed(seed)
    folder.mkdir(exist_ok=True)
    nets = {"aliked": kornia.ALIKED("aliked-n16"), "disk": kornia.DISK(), "xfeat": kornia.XFeat().net}
    for features, net in nets.items():
        glue = kornia.LightGlue(None, **kornia.LightGlue.features[features] | {"weights": None})
        for name, one in zip(keypoints.FILES[features], (net, glue)):
            state = {key: value for key, value in one.state_dict().items() if not key.endswith("confidence_thresholds")}
            save_file({key: value.contiguous() for key, value in state.items()}, folder / name)
    return str(folder)

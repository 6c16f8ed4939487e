"""torchvision's Faster R-CNN, for its region proposals (regional attention Table 2b)."""

from pathlib import Path

from torchvision.models import detection

from foir_lib.models import checkpoints
from foir_lib.models import weights as weights_file


def load_detector(path: str | Path) -> detection.FasterRCNN:
    """torchvision's fasterrcnn_resnet50_fpn with the weights of a local file, opened safely; raises as `models.checkpoints` does."""
    net = detection.fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    state = checkpoints.network(checkpoints.read(path), net.state_dict(), path)
    weights_file.check(net.state_dict(), state, path, "fasterrcnn_resnet50_fpn")
    net.load_state_dict(state)
    return net.eval().requires_grad_(False)

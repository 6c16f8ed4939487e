"""Spatial verification on real video frames: what stands in two frames of one video is found in one motion."""

import numpy as np
import pytest

from foir_lib.images import open_image
from foir_lib.search.rerank import spatial

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def videos(foir_data):
    """Keypoints of two frames, a fifth of a second apart, of every video."""
    folder = foir_data / "davis-frames" / "JPEGImages"
    if not folder.is_dir():
        pytest.skip("no davis-frames in the folder FOIR_DATA")
    frames = {video.name: sorted(video.glob("*.jpg")) for video in sorted(folder.iterdir())}
    return {
        name: [spatial.keypoints(open_image(files[i]), n_features=500, longest=480) for i in (0, 1)]
        for name, files in frames.items()
    }


@pytest.mark.parametrize("model", ["affine", "homography"])
def test_frames_of_one_video_share_a_motion_and_those_of_two_do_not(videos, model):
    names = list(videos)
    own = [spatial.verify(*videos[name], model).inliers for name in names]
    other = [spatial.verify(videos[a][0], videos[b][1], model).inliers for a, b in zip(names, names[1:] + names[:1])]
    assert np.median(own) > 20 * np.median(other)
    assert min(own) > 2 * max(other)


def test_frames_of_the_video_rise_in_a_ranking(videos):
    names = list(videos)
    database = [videos[name][1] for name in names]
    ids = np.tile(np.arange(len(names)), (len(names), 1))
    scores = np.zeros(ids.shape, np.float32)
    inliers, new = spatial.rerank([videos[name][0] for name in names], database.__getitem__, scores, ids)
    assert new[:, 0].tolist() == list(range(len(names)))
    assert (inliers[:, 0] > 2 * inliers[:, 1]).all()

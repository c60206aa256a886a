"""What a network answers: its classes, most probable first."""

from typing import TYPE_CHECKING

import torch

from tlcourse.errors import CourseError, check_whole
from tlcourse.networks.backbone import Backbone
from tlcourse.networks.tap import activations

if TYPE_CHECKING:
    import pandas as pd
    from PIL.Image import Image

    from tlcourse.tasks.sound import Sound


def top_k(
    backbone: Backbone, picture: "Image | Sound | torch.Tensor", k: int = 5
) -> "pd.DataFrame":
    """Return the k most probable classes of one picture, or one sound.

    Args:
        backbone: The network; its own preprocessing is applied to a PIL image or a sound.
        picture: A PIL image, a `Sound`, or a preprocessed tensor (3, H, W).
        k: How many, from 1 to the number of classes.

    Returns:
        k rows with `class` (name) and `probability` (softmax of the logits), highest first.

    Raises:
        CourseError: There is more than one picture, or k is out of range.
    """
    import pandas as pd

    if not backbone.classes:
        raise CourseError(
            f"{backbone.name} knows no classes of its own: it turns a {backbone.preprocess.one} into "
            "numbers. Reuse it with a pattern, such as tl.patterns.standalone_extractor."
        )
    check_whole("k", k, most=len(backbone.classes))
    logits = activations(backbone, picture, "logits")["logits"]
    if len(logits) != 1:
        raise CourseError(f"top_k takes one picture, got {len(logits)}. Call it once per picture.")
    best = torch.softmax(logits[0].float(), dim=0).topk(k)
    names = [backbone.classes[i] for i in best.indices.tolist()]
    return pd.DataFrame({"class": names, "probability": best.values.tolist()})

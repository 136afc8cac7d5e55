"""Cross-entropy plus the strangeness of the features: the network learns features that a kernel density finds natural.

J(x, y) - lambda log p(r(f(x)) | y) / u, with the density p of class y, its reduction r and the spread u of its log-densities on
clean images from a model behind `kde` (--teacher), and the features f of the network in training, of which there have to be as
many. The density does not change; `defend --method kde` around the new model fits one of its own (S2-D3, Billovits et al.).
"""

from typing import Annotated

from torch import Tensor, nn

from advcli.catalog.params import Param
from advcli.catalog.registry import recipe
from advcli.errors import CommandError
from advcli.networks.classifier import classifier_of
from advcli.networks.feature_detector import FeatureDetector
from advcli.networks.features import last_watched
from advcli.numerics.losses import cross_entropy
from advcli.numerics.rng import SampleRNG


@recipe(family="density", behind="kde", paper="arXiv:1703.00410")
def kde_confidence(
    model: nn.Module,
    x: Tensor,
    label: Tensor,
    *,
    rng: SampleRNG,
    teacher: nn.Module,
    lambda_: Annotated[float, Param("Weight of the density.", low=0)] = 0.1,
) -> Tensor:
    if not isinstance(teacher, FeatureDetector):
        raise CommandError("--teacher: is not a model behind kde; make one with: advcli defend --method kde")
    with last_watched(classifier_of(model), len(x)) as seen:
        logits = model(x, rng)
    return cross_entropy(logits, label) + lambda_ * teacher.strangeness(seen, label) / teacher.unit

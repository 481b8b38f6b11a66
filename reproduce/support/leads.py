"""What a mixture's lead on a single VAE is made of: its components, joining them, any ensemble."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from support import verdicts
from support.verdicts import Interval


class Lead(NamedTuple):
    """A lead and its parts, in a measure of which more is better.

    Attributes:
        whole: How far the mixture is ahead of the VAE, of paired differences.
        share: Which part of that, in the mean, an ensemble of K VAEs is ahead, too; None where the
            interval of the whole reaches 0, so that there may be nothing to share.
        larger: By how much this part is larger than the rest; likewise. Welch's interval, as the
            ensemble's VAEs are of several seeds. So is `joining`.
        components: How far the mixture's components alone are ahead of the VAE, of paired
            differences; None where they are not measured.
        joining: How much more the mixture gains on its components, by averaging images and joining
            codes, than the ensemble gains on the VAE; likewise.

    That single VAEs are in part those of the ensembles, which makes Welch's intervals too wide, is
    neglected.
    """

    whole: Interval
    share: float | None
    larger: Interval | None
    components: Interval | None = None
    joining: Interval | None = None


def lead(
    mixture: Sequence[float],
    vae: Sequence[float],
    ensemble: Sequence[float],
    components: Sequence[float] | None = None,
    overlap: float = 0.0,
) -> Lead:
    """Return a mixture's lead on a VAE with its parts.

    Args:
        mixture: One value a seed, of which more is better.
        vae: Of the single VAE, by the same seeds.
        ensemble: Of K separate VAEs.
        components: Of the mixture's components alone, their mean.
        overlap: How alike the seeds' ensembles are, as for `verdicts.unpaired`.
    """
    whole = verdicts.interval(verdicts.minus(mixture, vae))
    share = larger = None
    if verdicts.verdict([whole]) == verdicts.SUPPORTED:
        share = (statistics.fmean(ensemble) - statistics.fmean(vae)) / whole.mean
        # (E - V) - (M - E) is 2 E - (V + M); unpaired() takes the ensemble second.
        both = [-(one + other) for one, other in zip(mixture, vae, strict=True)]
        larger = verdicts.unpaired(both, [-2 * each for each in ensemble], overlap)
    if components is None:
        return Lead(whole, share, larger)
    above = verdicts.minus(components, vae)
    joining = verdicts.unpaired(verdicts.minus(mixture, above), ensemble, overlap)
    return Lead(whole, share, larger, verdicts.interval(above), joining)

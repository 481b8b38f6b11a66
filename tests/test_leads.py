"""What a lead on a VAE is made of, against SciPy's intervals."""

import numpy as np
import pytest
import scipy.stats

from support import leads, verdicts

MIXTURE, VAE = [98.0, 98.4, 98.3], [96.0, 96.1, 96.5]
ENSEMBLE, COMPONENTS = [97.5, 97.2, 97.7], [96.4, 96.6, 96.7]


def ends(interval):
    return interval.mean - interval.half, interval.mean + interval.half


def paired(first, second):
    return scipy.stats.ttest_rel(first, second).confidence_interval()


def welch(first, second):
    return scipy.stats.ttest_ind(first, second, equal_var=False).confidence_interval()


def test_parts_have_the_intervals_of_scipy():
    found = leads.lead(MIXTURE, VAE, ENSEMBLE, COMPONENTS)
    m, v, e, c = map(np.array, (MIXTURE, VAE, ENSEMBLE, COMPONENTS))
    assert ends(found.whole) == pytest.approx(paired(m, v))
    assert ends(found.components) == pytest.approx(paired(c, v))
    # (E - V) - (M - E): what the ensemble has of it, and what it lacks.
    assert ends(found.larger) == pytest.approx(welch(2 * e, v + m))
    # (M - C) - (E - V): of one seed but for the ensemble's.
    assert ends(found.joining) == pytest.approx(welch(m - c + v, e))
    assert found.share == pytest.approx((e.mean() - v.mean()) / (m.mean() - v.mean()))


def test_what_ensembles_share_makes_their_intervals_wider():
    alone, sharing = (leads.lead(MIXTURE, VAE, ENSEMBLE, COMPONENTS, r) for r in (0.0, 0.5))
    assert sharing.larger.half > alone.larger.half and sharing.joining.half > alone.joining.half
    assert sharing.whole == alone.whole and sharing.components == alone.components
    without = leads.lead(MIXTURE, VAE, ENSEMBLE, overlap=0.5)
    assert without.larger == sharing.larger


def test_without_a_lead_there_is_no_share_of_it():
    for mixture in (VAE, [96.0, 96.4, 98.0]):  # ahead by nothing, and perhaps by nothing
        behind = leads.lead(mixture, [96.1, 96.0, 96.2], ENSEMBLE)
        assert behind.share is None and behind.larger is None
        assert behind.components is None and behind.joining is None


def test_one_seed_decides_nothing():
    found = leads.lead([98.0], [96.0], [97.0], [96.5])
    parts = (found.whole, found.components, found.joining)
    assert {verdicts.verdict([each]) for each in parts} == {"undecided (one seed)"}
    assert found.share is None and found.larger is None

"""That draws are draws, each with a seed of its own, and terms are taken at them."""

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf
import tensorflow_probability as tfp

import mvae_tf
from mvae_tf import evaluation
from mvae_tf.objective import Dirichlet, Posterior, step

tfd = tfp.distributions


def make(**overrides):
    settings = {"num_components": 3, "latent_dim": 2, "hidden_units": (16,), "seed": 0}
    model = mvae_tf.MixtureVAE((8, 8, 1), **(settings | overrides))
    # Decoders that tell codes apart, even at their beginning.
    for weight in model.decoder.trainable_variables:
        weight.assign(3.0 * weight)
    model.compile(keras.optimizers.SGD(0.0))
    return model


def images(count, seed=0):
    one = np.random.default_rng(seed).uniform(size=[1, 8, 8, 1]).astype(np.float32)
    return np.repeat(one, count, axis=0)


@pytest.mark.parametrize("mixing", ["likelihood", "image"])
def test_training_terms_are_those_of_draws_of_codes_and_weights(mixing):
    model = make(mixing=mixing, concentration="normalized")
    posterior = model.encode(images(1))
    rng, count = np.random.default_rng(1), 3000
    loc, scale, concentration = (
        tensor.numpy()[0]
        for tensor in (posterior.z.mean(), posterior.z.stddev(), posterior.w.concentration)
    )
    codes = loc + scale * rng.normal(size=[count, *loc.shape])
    weights = rng.dirichlet(concentration, size=count)

    def squared(codes, weights):
        each = model.decode(tf.constant(codes, tf.float32)).numpy().astype(np.float64)
        mixed = np.einsum("nk,nkhwc->nhwc", weights, each)
        return ((mixed - images(1)) ** 2).sum(axis=(1, 2, 3))

    _, terms = model._objective(
        tf.constant(images(count)), None, tf.constant([7, 8]), training=True
    )
    ours, expected = terms["mse"].numpy(), squared(codes, weights)
    error = np.hypot(ours.std(), expected.std()) / np.sqrt(count)
    assert ours.mean() == pytest.approx(expected.mean(), abs=5 * error)
    assert ours.std() == pytest.approx(expected.std(), rel=0.15)
    means = np.broadcast_to(loc, codes.shape), np.broadcast_to(posterior.w.mean()[0], weights.shape)
    for without in ((means[0], weights), (codes, means[1])):  # of means, it would be another
        assert abs(squared(*without).mean() - expected.mean()) > 10 * error or (
            squared(*without).std() < 0.8 * expected.std()
        )
    if mixing == "image":
        np.testing.assert_allclose(-terms["reconstruction"], ours, rtol=1e-4)


def test_reconstruction_of_mixed_likelihoods_is_of_draws_of_codes_and_weights():
    model = make(mixing="likelihood", concentration="normalized")
    posterior = model.encode(images(1))
    rng, count = np.random.default_rng(1), 3000
    loc, scale = posterior.z.mean().numpy()[0], posterior.z.stddev().numpy()[0]
    codes = loc + scale * rng.normal(size=[count, *loc.shape])
    weights = rng.dirichlet(posterior.w.concentration.numpy()[0], size=count)
    decoded = model.decode(tf.constant(codes, tf.float32)).numpy()
    errors = ((decoded - images(1)[:, None]) ** 2).sum(axis=(2, 3, 4))
    _, terms = model._objective(
        tf.constant(images(count)), None, tf.constant([7, 8]), training=True
    )
    ours, expected = -terms["reconstruction"].numpy(), (weights * errors).sum(axis=1)
    error = np.hypot(ours.std(), expected.std()) / np.sqrt(count)
    assert ours.mean() == pytest.approx(expected.mean(), abs=5 * error)
    assert ours.std() == pytest.approx(expected.std(), rel=0.15)
    assert (errors @ posterior.w.mean().numpy()[0]).std() < 0.8 * expected.std()


def recorded_step(seed, loc):
    """Return a step's terms, and the seeds by which codes and weights were drawn."""
    seeds = []

    class Codes(tfd.Independent):
        def sample(self, *args, seed=None, **kwargs):
            seeds.append(tuple(np.asarray(seed).tolist()))
            return super().sample(*args, seed=seed, **kwargs)

    class Weights(Dirichlet):
        def sample(self, *args, seed=None, **kwargs):
            seeds.append(tuple(np.asarray(seed).tolist()))
            return super().sample(*args, seed=seed, **kwargs)

    posterior = Posterior(
        Codes(tfd.Normal(loc, tf.ones_like(loc)), 1), Weights(tf.ones(loc.shape[:2]))
    )
    objective = step.Objective("gaussian", "image", 1.0, 1.0, False, "dimension")
    prior = Dirichlet(tf.ones(loc.shape[1]))
    _, terms = step.loss_and_terms(
        tf.zeros([loc.shape[0], 2]), tf.constant(seed), posterior, prior, lambda z: z, objective
    )
    return terms, seeds


def test_codes_and_weights_have_seeds_of_their_own():
    _, first = recorded_step([0, 1], tf.zeros([5, 3, 2]))
    _, second = recorded_step([0, 2], tf.zeros([5, 3, 2]))
    assert len({*first, *second}) == 4


def test_dhsic_is_of_the_draws():
    # Of means that are all the same it would be 0, of dependent ones it would be larger.
    terms, _ = recorded_step([0, 1], tf.zeros([50, 2, 2]))
    assert float(terms["dhsic"]) > 1e-3
    shared = 0.3 * np.random.default_rng(0).normal(size=[500, 1, 2]).repeat(2, axis=1)
    terms, _ = recorded_step([0, 1], tf.constant(shared, tf.float32))
    assert float(terms["dhsic"]) < 0.5 * float(
        mvae_tf.dhsic(list(shared.transpose(1, 0, 2)), [0.5] * 2)
    )


@pytest.mark.parametrize(("concentration", "prior"), [("free", 3.7), ("normalized", 0.2)])
def test_kl_of_the_weights_is_to_the_prior_that_is_asked_for(concentration, prior):
    model = make(concentration=concentration, prior_concentration=prior)
    a = model.encode(images(1)).w.concentration.numpy()[0].astype(np.float64)
    total, other = a.sum(), 3 * prior
    expected = scipy.special.gammaln(total) - scipy.special.gammaln(a).sum()
    expected += 3 * scipy.special.gammaln(prior) - scipy.special.gammaln(other)
    expected += ((a - prior) * (scipy.special.psi(a) - scipy.special.psi(total))).sum()
    for training in (True, False):
        _, terms = model._objective(images(2), None, tf.constant([0, 1]), training=training)
        np.testing.assert_allclose(terms["kl_w"], expected, rtol=1e-4)


def seeds_of(monkeypatch, function):
    """Return the seeds of which draws are made, run step by step."""
    seeds, real = [], tf.random.split

    def recording(seed, num=2, **kwargs):
        seeds.append(tuple(np.asarray(seed).tolist()))
        return real(seed, num, **kwargs)

    with monkeypatch.context() as context:
        context.setattr(tf.random, "split", recording)
        tf.config.run_functions_eagerly(True)
        try:
            function()
        finally:
            tf.config.run_functions_eagerly(False)
    return seeds


@pytest.mark.filterwarnings("ignore:Even though:UserWarning")  # tf.data's functions stay graphs
def test_each_batch_has_seeds_of_its_own_and_evaluation_none_of_trainings(monkeypatch):
    model = make()
    model.run_eagerly = True
    data = np.concatenate([images(4), images(4)])
    counter = int(model._seeds.state[1])

    def steps(function):
        objective, seen = type(model)._objective, []

        def recording(self, images, count, seed, **settings):
            seen.append(tuple(np.asarray(seed).tolist()))
            return objective(self, images, count, seed, **settings)

        with monkeypatch.context() as context:
            context.setattr(type(model), "_objective", recording)
            function()
        return seen

    trained = steps(lambda: model.fit(data, batch_size=4, epochs=3, verbose=0))
    assert trained == [(0, counter + each) for each in range(6)]
    tested = steps(lambda: model.evaluate(data, batch_size=4, verbose=0))
    assert len(set(tested)) == 2
    assert tested == steps(lambda: model.evaluate(data, batch_size=4, verbose=0))

    dataset = tf.data.Dataset.from_tensor_slices(data).batch(4)
    measures = [
        lambda: model.evaluate(data, batch_size=4, verbose=0),
        lambda: model.sample(3, seed=0),
        lambda: model.elbo(data, seed=0),
        lambda: model.log_likelihood(data, 8, seed=0),
        lambda: evaluation.reconstruction_errors(model, dataset, batch_size=4),
    ]
    # Training's own may be any (seed, count) with a count of at least 0, or follow from one.
    training = {(0, count) for count in range(100)} | set(
        seeds_of(monkeypatch, lambda: model.fit(data, batch_size=4, epochs=3, verbose=0))
    )
    for measure in measures:
        seeds = [seed for seed in seeds_of(monkeypatch, measure) if len(seed) == 2]
        assert seeds and not training & set(seeds)


def test_errors_of_each_batch_are_of_draws_of_its_own():
    model = make()
    dataset = tf.data.Dataset.from_tensor_slices(images(8)).batch(4)
    once, twice = (
        evaluation.reconstruction_errors(model, dataset.take(count), batch_size=4)
        for count in (1, 2)
    )
    assert twice.mse == pytest.approx(once.mse, rel=1e-6)
    assert abs(twice.mse_sampled / once.mse_sampled - 1) > 1e-4


def test_sampled_errors_are_of_draws_of_codes_and_weights():
    model = make(concentration="normalized")
    posterior, count = model.encode(images(1)), 4000
    rng, loc, scale = (
        np.random.default_rng(1),
        *(tensor.numpy()[0] for tensor in (posterior.z.mean(), posterior.z.stddev())),
    )
    codes = loc + scale * rng.normal(size=[count, *loc.shape])
    weights = rng.dirichlet(posterior.w.concentration.numpy()[0], size=count)
    means = np.broadcast_to(loc, codes.shape), np.broadcast_to(posterior.w.mean()[0], weights.shape)

    def errors(codes, weights):
        decoded = model.decode(tf.constant(codes, tf.float32)).numpy()
        mixed = np.einsum("nk,nkhwc->nhwc", weights, decoded)
        return ((mixed - images(1)) ** 2).sum(axis=(1, 2, 3))

    expected = errors(codes, weights)
    allowed = 5 * expected.std() * np.sqrt(2 / count)
    dataset = tf.data.Dataset.from_tensor_slices(images(count)).batch(1000)
    measured = evaluation.reconstruction_errors(model, dataset).mse_sampled
    assert measured == pytest.approx(expected.mean(), abs=allowed)
    for without in ((means[0], weights), (codes, means[1])):  # of means, it would be another
        assert abs(errors(*without).mean() - expected.mean()) > 2 * allowed

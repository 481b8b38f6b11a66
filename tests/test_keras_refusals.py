"""What a model can't mean by what Keras hands to it, and bytes and values out of range."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from recycled import take_back
from test_keras import BYTES, IMAGES, SMALL, WEIGHTS, batches, evaluated, make, same, state

import mvae_tf

# Of iterators that end early, which they are here on purpose.
pytestmark = pytest.mark.filterwarnings("ignore:Your input ran out of data:UserWarning")

# What can't be meant ------------------------------------------------------------------------------


class Pages(keras.utils.PyDataset):
    def __init__(self, *pages):
        super().__init__()
        self.pages = pages

    def __len__(self):
        return len(self.pages)

    def __getitem__(self, index):
        return self.pages[index]


class Endless(Pages):
    @property
    def num_batches(self):
        return None


class Loader:
    """As a PyTorch DataLoader: gives its batches anew whenever it is gone through."""

    def __init__(self, *batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


class Attached:
    """As a PyTorch tensor with a gradient, which NumPy can't have."""

    dtype, shape = "float32", (24, 4, 4, 1)

    def __array__(self, *_, **__):
        raise RuntimeError("Use tensor.detach().\nSee there.")


NOTHING = tf.data.Dataset.from_tensor_slices(IMAGES).filter(lambda image: False).batch(8)
REFUSED = {
    "class_weight": (lambda m: m.fit(IMAGES, WEIGHTS, class_weight={0: 2.0}), "class_weight"),
    "class_weight of a batch": (
        lambda m: m.train_on_batch(IMAGES, WEIGHTS, class_weight={0: 2.0}),
        "class_weight",
    ),
    "loss": (lambda m: m.compile(loss="mse"), "no loss.*Received: 'mse'"),
    "metrics": (lambda m: m.compile(metrics=["mse"]), "no metrics"),
    "loss_weights": (lambda m: m.compile(loss_weights=[1.0]), "no loss_weights"),
    "weighted_metrics": (lambda m: m.compile(weighted_metrics=[]), "no weighted_metrics"),
    "epochs": (lambda m: m.fit(IMAGES, epochs=0), "epochs .* Received: 0"),
    "batch_size": (lambda m: m.fit(IMAGES, batch_size=2.5), "batch_size .*Received: 2.5"),
    "batch size 0": (lambda m: m.evaluate(IMAGES, batch_size=0), "batch_size .*Received: 0"),
    "predict's": (lambda m: m.predict(IMAGES, batch_size=-1), "batch_size .*Received: -1"),
    "validation's": (
        lambda m: m.fit(IMAGES, validation_data=IMAGES, validation_batch_size=True),
        "validation_batch_size .*Received: True",
    ),
    "steps": (lambda m: m.fit(IMAGES, steps_per_epoch=0), "steps_per_epoch .*Received: 0"),
    "split": (lambda m: m.fit(IMAGES, validation_split=1), "validation_split .*Received: 1"),
    "negative": (lambda m: m.fit(IMAGES, validation_split=-0.1), "validation_split .*-0.1"),
    "NaN": (lambda m: m.fit(IMAGES, validation_split=np.nan), "validation_split .*nan"),
    "all": (lambda m: m.fit(IMAGES[:1], validation_split=0.5), "at least one image on either"),
    "None": (lambda m: m.fit(None), "Expected an array.*Received: None"),
    "text": (lambda m: m.predict("images"), "Expected an array.*Received: a str"),
    "dict": (lambda m: m.fit({"image": IMAGES}), "Received: a dict of 'image'"),
    "ragged": (lambda m: m.fit([IMAGES[0], IMAGES[0, 1:]]), "Received: a list"),
    "dict batches": (
        lambda m: m.fit(tf.data.Dataset.from_tensor_slices({"image": IMAGES}).batch(8)),
        "Expected a batch to be .*Received: a dict of 'image'",
    ),
    "dict generator": (
        lambda m: m.evaluate({"image": IMAGES} for _ in range(2)),
        "Expected a batch to be .*Received: a dict of 'image'",
    ),
    "dict later": (
        lambda m: m.fit(batch for batch in [IMAGES, {"image": IMAGES}]),
        "Expected a batch to be .*Received: a dict of 'image'",
    ),
    "dict pages": (lambda m: m.fit(Pages(({"image": IMAGES},))), "Received: a dict of 'image'"),
    "dict batch": (lambda m: m.train_on_batch({"image": IMAGES}), "Received: a dict of 'image'"),
    "too many": (lambda m: m.fit(batches(IMAGES, WEIGHTS, WEIGHTS, WEIGHTS)), "a tuple of 4"),
    "no image": (lambda m: m.fit(IMAGES[:0]), "n at least 1. Received: none"),
    "no batch": (lambda m: m.fit(batches(IMAGES).take(0)), "at least one batch. Received: none"),
    "none drawn": (lambda m: m.fit(NOTHING), "at least one batch. Received: none"),
    "none measured": (lambda m: m.evaluate(NOTHING), "at least one batch. Received: none"),
    "none predicted": (lambda m: m.predict(NOTHING), "at least one batch. Received: none"),
    "no generator": (lambda m: m.fit(iter(())), "at least one batch. Received: none"),
    "no page": (lambda m: m.fit(Pages()), "at least one batch. Received: none"),
    "weights' size": (lambda m: m.fit(IMAGES, sample_weight=WEIGHTS[:3]), r"\[24\].*\(3,\)"),
    "weights below 0": (lambda m: m.fit(IMAGES, sample_weight=-WEIGHTS), "at least 0.*from -3"),
    "weights NaN": (lambda m: m.evaluate(IMAGES, sample_weight=WEIGHTS * np.nan), "finite.*nan"),
    "weights of text": (
        lambda m: m.fit(IMAGES, sample_weight=WEIGHTS.astype(str)),
        "sample_weight .*Received: dtype string",
    ),
    "weights in a graph": (
        lambda m: m.fit(batches(IMAGES, WEIGHTS, -WEIGHTS)),
        "sample_weight .*at least 0. Received: values from -3",
    ),
    "weights beside batches": (
        lambda m: m.fit(batches(IMAGES), sample_weight=WEIGHTS),
        "Received: sample_weight beside a _BatchDataset",
    ),
    "endless": (lambda m: m.fit(batches(IMAGES).repeat()), "comes to an end.*without end"),
    "endless measured": (lambda m: m.evaluate(batches(IMAGES).repeat()), "comes to an end"),
    "endless predicted": (lambda m: m.predict(batches(IMAGES).repeat()), "comes to an end"),
    "endless pages": (lambda m: m.evaluate(Endless()), "comes to an end.*without end"),
    "endless validation": (
        lambda m: m.fit(IMAGES, validation_data=batches(IMAGES).repeat()),
        "comes to an end",
    ),
    "a range": (lambda m: m.fit(range(3)), "Expected a batch to be .*Received: a int"),
    "no loader": (lambda m: m.fit(Loader()), "at least one batch. Received: none"),
    "masked": (
        lambda m: m.fit(np.ma.masked_less(IMAGES, 0.5)),
        "images .*Received: an array some of which is masked",
    ),
    "attached": (
        lambda m: m.predict(Attached()),
        r"images .*Received: a Attached, no array of numbers \(Use tensor.detach\(\). See there\)",
    ),
    "objects": (lambda m: m.fit(np.array([None])), "images .*Received: dtype object"),
    "records": (lambda m: m.fit(np.zeros(3, "f4,f4")), "images .*Received: dtype .*f4"),
    "called with None": (lambda m: m.encode(None), "images .*Received: None, no numbers"),
    "called with ragged": (lambda m: m.encode([[1.0], [1.0, 2.0]]), "a list, no array of numbers"),
    "called with sparse": (
        lambda m: m.encode(tf.sparse.from_dense(IMAGES)),
        "images .*Received: a SparseTensor",
    ),
    "codes of words": (lambda m: m.decode({"a": 1}), "codes .*Received: a dict of 'a', no numbers"),
    "frequency": (
        lambda m: m.fit(IMAGES, validation_data=IMAGES, validation_freq=0),
        "validation_freq .*Received: 0",
    ),
    "first epoch": (lambda m: m.fit(IMAGES, initial_epoch=-1), "initial_epoch .*Received: -1"),
    "callback": (lambda m: m.fit(IMAGES, callbacks="best"), "Keras callbacks.*Received: 'best'"),
    "callbacks' class": (
        lambda m: m.predict(IMAGES, callbacks=[keras.callbacks.Callback]),
        "callbacks, made. Received: <class",
    ),
    "optimizer": (lambda m: m.compile(None), "an optimizer. Received: None"),
    "compiled": (lambda m: m.compile("adam", jit_compile="yes"), "jit_compile .*'yes'"),
    "format": (lambda m: m.export("model", format="onnx"), "format .*Received: 'onnx'"),
    "signature": (lambda m: m.export("model", input_signature=[]), "Received: input_signature"),
    "h5": (lambda m: m.save("model.h5"), r"ends in \.keras. Received: 'model.h5'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused_in_a_line(case, either):
    call, message = REFUSED[case]
    model = make(either)
    begun = int(model.optimizer.iterations)
    with pytest.raises(ValueError, match=message) as caught:
        call(model)
    said = str(caught.value)
    assert said.startswith("Expected ") and "\n" not in said and len(said) < 250
    # A generator may be read ahead of the steps.
    assert int(model.optimizer.iterations) - begun in ((0, 1) if case == "dict later" else (0,))


@pytest.mark.parametrize("dtype", ["float64", "float16", "no policy", 7, [1]])
def test_a_dtype_is_a_policy_of_ours(dtype):
    with pytest.raises(ValueError, match="Expected dtype to be one of .*mixed_bfloat16"):
        mvae_tf.MixtureVAE(**SMALL, dtype=dtype)


def test_without_weights_to_train_there_is_no_training(either):
    model = make.new(either)
    model.trainable = False
    with pytest.raises(ValueError, match="weights to train. Received: all are frozen"):
        model.fit(IMAGES, verbose=0)


def test_a_loader_is_gone_through_again_and_again(either):
    """Its batches may be images alone, which Keras's own reader refuses, or have weights."""
    first, second = IMAGES[:12], IMAGES[12:]  # of one size, as XLA compiles each anew
    loaders = {
        Loader(first, second): [IMAGES],
        Loader((first, None, WEIGHTS[:12]), [second, None, WEIGHTS[12:]]): [IMAGES, (), WEIGHTS],
    }
    for loader, arrays in loaders.items():
        trained = []
        for data in (loader, batches(*arrays, size=12)):
            model = make(either)
            history = model.fit(data, epochs=2, validation_data=data, verbose=0).history
            trained.append([history, state(model), model.predict(loader, verbose=0)])
            predicted = model.predict(IMAGES, batch_size=12, verbose=0)
            np.testing.assert_array_equal(trained[-1][-1], predicted)
            take_back()  # so that the next is this one, set back: its steps are compiled
        assert trained[0][0] == trained[1][0]
        assert same(trained[0][1], trained[1][1])


def test_median_bandwidths_know_of_no_weights(jit):
    with pytest.raises(ValueError, match='bandwidths "dimension".* Received: "median"'):
        make(jit, bandwidths="median").fit(IMAGES, sample_weight=WEIGHTS, verbose=0)


# Bytes, and values out of range -------------------------------------------------------------------


def test_bytes_are_divided_by_255_everywhere(jit, digits):
    model = make(jit)
    expected = model.reconstruct(IMAGES)
    np.testing.assert_array_equal(model.reconstruct(BYTES), expected)
    np.testing.assert_array_equal(model(BYTES), expected)
    np.testing.assert_array_equal(model.encode(BYTES).w.mean(), model.encode(IMAGES).w.mean())
    np.testing.assert_allclose(model.log_likelihood(BYTES, 2), model.log_likelihood(IMAGES, 2))
    sources = BYTES, batches(BYTES), (BYTES[i : i + 8] for i in (0, 8, 16)), Pages((BYTES,))
    for source in sources:
        np.testing.assert_allclose(model.predict(source, verbose=0), expected, atol=1e-6)
    # XLA divides within other products than the host does: by the last digit apart.
    assert evaluated(model, None, BYTES) == pytest.approx(evaluated(model, None), rel=1e-6)
    assert model.test_on_batch(BYTES) == model.test_on_batch(IMAGES)


def test_training_on_bytes_is_training_on_their_floats(jit):
    one, other = make(jit), make(jit)
    one.fit(batches(IMAGES), verbose=0)
    other.fit(batches(BYTES), verbose=0)
    for expected, received in zip(state(one), state(other), strict=True):
        np.testing.assert_allclose(received, expected, atol=1e-4)  # a graph divides as it likes


def test_predict_takes_a_loaded_dataset(digits, jit):
    model = make(jit, image_shape=(8, 8, 1))
    expected = model.reconstruct(digits.test.float_images())
    np.testing.assert_allclose(model.predict(digits, verbose=0), expected, atol=1e-6)
    np.testing.assert_allclose(model.predict(digits.test, 100, verbose=0), expected, atol=1e-6)


@pytest.mark.parametrize(
    "bad", [IMAGES * 255, IMAGES - 0.5, np.where(IMAGES > 0.5, np.nan, IMAGES)]
)
def test_images_out_of_range_are_refused_wherever_they_come(bad, jit):
    model = make(jit)
    before = state(model)
    calls = [
        lambda: model.predict(bad, verbose=0),
        lambda: model.predict(batches(bad), verbose=0),
        lambda: model.predict((bad for _ in range(1)), verbose=0),
        lambda: model.predict_on_batch(bad),
        lambda: model.train_on_batch(bad),
        lambda: model.test_on_batch(bad),
        lambda: model.fit(batches(bad), verbose=0),
        lambda: model.fit((bad for _ in range(1)), verbose=0),
        lambda: model.evaluate(batches(bad), verbose=0),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="^Expected images .*Received: .*") as caught:
            call()
        assert "\n" not in str(caught.value)
    assert same(state(model), before)  # the count of steps and the draws among it
    with pytest.raises(ValueError, match=r"Expected images .*Received: "):
        model(bad)  # Keras says what it was given as well


def test_graphs_of_ones_own_refuse_images_out_of_range(tmp_path):
    model = make()
    graph = tf.function(model)
    np.testing.assert_allclose(graph(tf.constant(IMAGES)), model(IMAGES), atol=1e-6)
    archive = keras.export.ExportArchive()
    archive.track(model)
    spec = tf.TensorSpec([None, 4, 4, 1])
    archive.add_endpoint("serve", model.call, input_signature=[spec])
    archive.write_out(tmp_path / "archive", verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "archive"))
    exported = loaded.serve
    np.testing.assert_allclose(exported(tf.constant(IMAGES)), model(IMAGES), atol=1e-6)
    likelihood = tf.function(lambda images: model.log_likelihood(images, 2))
    for bad in (IMAGES * 255, IMAGES * np.nan):
        for call in (graph, exported, likelihood):
            with pytest.raises(tf.errors.InvalidArgumentError, match=r"images in \[0, 1\]. Rec"):
                call(tf.constant(bad))


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
@pytest.mark.parametrize("cut", [lambda image: image[:3], lambda image: image.ravel()])
def test_a_wrong_size_that_comes_to_light_with_the_batch_is_named(cut, method):
    """What Python gives inside a pipeline has no shape before."""

    def read(index):
        return tf.numpy_function(lambda index: cut(IMAGES[index]), [index], tf.float32)

    model = make()
    before = model.get_weights()
    expected = ", ".join(map(str, IMAGES.shape[1:]))
    received = ", ".join(map(str, (8, *cut(IMAGES[0]).shape)))
    message = rf"Expected images of shape \[n, {expected}\]. Received: shape \[{received}\]."
    with pytest.raises(ValueError, match=f"^{message}$"):
        getattr(model, method)(tf.data.Dataset.range(16).map(read).batch(8), verbose=0)
    assert same(model.get_weights(), before)


def test_a_pipelines_own_complaint_stays_its_own():
    def read(index):
        image = tf.numpy_function(lambda index: IMAGES[index][:3], [index], tf.float32)
        return tf.ensure_shape(image, IMAGES.shape[1:])

    with pytest.raises(tf.errors.InvalidArgumentError, match="not compatible with expected shape"):
        make().fit(tf.data.Dataset.range(16).map(read).batch(8), verbose=0)

"""Classifiers of latent codes (Section V, Table II).

The paper gives no settings; ours are in `DESCRIPTIONS`. Whatever is chosen while fitting, when to
stop and how much to regularise, is chosen on a part of the training codes held out for it.

Float32 codes in rows, one after another, are used where they are. So KNN takes files larger than
memory (`evaluation.encode_split` with `out`, reshaped to [n, K * d]); of other codes a copy is
made. MLP and Linear SVM, as scikit-learn has them, need all training codes in memory: while they
are fitted, about 10 and 30 bytes for each number of the codes, besides the codes themselves.
"""

import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, StratifiedShuffleSplit
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from mvae_tf import checks

# Codes looked at together, beyond fitting.
_AT_A_TIME = 10_000

# What is held out, a tenth, has then all classes, and K nearest neighbours exist.
_MIN_CODES_PER_CLASS = 10


def _mlp(random_state):
    return make_pipeline(
        StandardScaler(),
        MLPClassifier(
            hidden_layer_sizes=(100,),
            batch_size=200,
            max_iter=50,
            early_stopping=True,
            validation_fraction=0.1,
            n_iter_no_change=5,
            random_state=random_state,
        ),
    )


def _linear_svm(random_state):
    return GridSearchCV(
        # Solved in the primal: the dual solver stops unconverged where there are many codes.
        make_pipeline(StandardScaler(), LinearSVC(dual=False)),
        {"linearsvc__C": [0.01, 0.1, 1.0]},
        cv=StratifiedShuffleSplit(n_splits=1, test_size=0.1, random_state=random_state),
        error_score="raise",
    )


def _knn(random_state):
    # Raw codes: the prior gives all of them the same scale.
    return KNeighborsClassifier(n_neighbors=5, algorithm="brute", metric="euclidean")


# By name, a function of the random state that makes the classifier.
CLASSIFIERS = {"MLP": _mlp, "Linear SVM": _linear_svm, "KNN": _knn}

DESCRIPTIONS = {
    "MLP": (
        "one hidden layer of 100 ReLU units, Adam, batches of 200, stopped after 5 epochs without "
        "a better accuracy on a tenth of the training codes or after 50; standardised codes"
    ),
    "Linear SVM": (
        "squared hinge loss, one against the rest, C of 0.01, 0.1 and 1 chosen on a tenth of the "
        "training codes; standardised codes"
    ),
    "KNN": "5 nearest neighbours in Euclidean distance; codes as they are",
}


def fit(name: str, codes: np.ndarray, labels: np.ndarray, *, seed: int = 0):
    """Fit a classifier.

    Args:
        name: One of `CLASSIFIERS`.
        codes: Finite training codes, [n, d]; used as float32.
        labels: Their classes, integers [n]; two or more classes with at least 10 codes each.
        seed: Of the initial weights, the batches and the choice of what is held out.

    Returns:
        A fitted scikit-learn classifier of float32 codes.

    Raises:
        ValueError: For anything else.
    """
    checks.choice("name", name, tuple(CLASSIFIERS))
    codes, labels = _checked("training", codes, labels)
    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2 or counts.min() < _MIN_CODES_PER_CLASS:
        raise ValueError(
            f"Expected two or more classes with at least {_MIN_CODES_PER_CLASS} training codes "
            f"each. Received: {dict(zip(classes.tolist(), counts.tolist(), strict=True))}."
        )
    # NumPy's random states are not negative.
    classifier = CLASSIFIERS[name](checks.seed(seed) % 2**32)
    with warnings.catch_warnings():
        # The number of epochs is a setting, not a failure to converge.
        if name == "MLP":
            warnings.simplefilter("ignore", ConvergenceWarning)
        return classifier.fit(codes, labels)


def accuracy(
    name: str,
    train_codes: np.ndarray,
    train_labels: np.ndarray,
    test_codes: np.ndarray,
    test_labels: np.ndarray,
    *,
    seed: int = 0,
) -> float:
    """Fit a classifier on training codes and return how many test codes it gets right.

    Args:
        name: One of `CLASSIFIERS`.
        train_codes: As for `fit`, [n, d].
        train_labels: As for `fit`, [n].
        test_codes: Finite codes, [m, d]; used once, after all fitting, 10,000 at a time.
        test_labels: Integers [m], classes of the training labels.
        seed: As for `fit`.

    Returns:
        The accuracy in %.

    Raises:
        ValueError: For codes or labels other than those.
    """
    train_codes, train_labels = _checked("training", train_codes, train_labels)
    test_codes, test_labels = _checked("test", test_codes, test_labels)
    if train_codes.shape[1] != test_codes.shape[1]:
        raise ValueError(
            "Expected training and test codes of one width. "
            f"Received: {train_codes.shape[1]} and {test_codes.shape[1]}."
        )
    require_known(train_labels, test_labels)
    classifier = fit(name, train_codes, train_labels, seed=seed)
    predicted = np.concatenate([classifier.predict(part) for part in _parts(test_codes)])
    return 100.0 * float(np.mean(predicted == test_labels))


def require_known(train_labels: np.ndarray, test_labels: np.ndarray) -> None:
    """Refuse test labels that a classifier of the training labels never saw.

    Raises:
        ValueError: There are some: the accuracy would be that of images it can't get right.
    """
    unknown = np.setdiff1d(test_labels, train_labels)
    if unknown.size:
        raise ValueError(
            "Expected test labels among the training labels. "
            f"Received: {unknown.tolist()} in the test labels alone."
        )


def _checked(part, codes, labels):
    """Return codes as float32 [n, d] and integer labels [n]."""
    codes = np.asarray(checks.as_array(f"Expected {part} codes to be floats", codes))
    labels = np.asarray(checks.as_array(f"Expected {part} labels to be integers", labels))
    if codes.ndim != 2 or codes.size == 0 or not np.issubdtype(codes.dtype, np.floating):
        raise ValueError(
            f"Expected {part} codes to be floats of shape [n, d], n and d >= 1. "
            f"Received: {codes.dtype} of shape {codes.shape}."
        )
    codes = codes.astype(np.float32, copy=False)
    if not all(np.all(np.isfinite(part)) for part in _parts(codes)):
        raise ValueError(
            f"Expected {part} codes to be finite. Received: NaN or infinity among them."
        )
    if labels.shape != codes.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"Expected {part} labels to be {len(codes)} integers. "
            f"Received: {labels.dtype} of shape {labels.shape}."
        )
    return codes, labels


def _parts(codes):
    return (codes[start : start + _AT_A_TIME] for start in range(0, len(codes), _AT_A_TIME))

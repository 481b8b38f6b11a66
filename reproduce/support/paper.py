"""The published numbers of Ye & Bors, "Mixtures of Variational Autoencoders" (2020), as data."""

# Table I: model, number of components, reconstruction error ("MSE") on MNIST's test images.
TABLE1 = (
    ("M-VAE", 7, 11.54),
    ("M-VAE", 8, 10.20),
    ("M-VAE", 10, 9.17),
    ("VAE", 1, 13.44),
)

# Table II: accuracy in % of classifiers on MNIST's codes, d = 20, K = 4.
TABLE2_COLUMNS = ("Mixture", "C1", "C2", "C3", "C4", "VAE")
TABLE2 = {
    "MLP": (96.59, 95.15, 94.67, 94.68, 94.30, 95.35),
    "Linear SVM": (93.37, 90.78, 90.11, 89.83, 89.72, 90.23),
    "KNN": (97.17, 96.56, 96.39, 96.63, 96.45, 96.34),
}

# Table III: model, RMSE on CIFAR-10 (None where not printed), Inception score. The last is ours.
TABLE3 = (
    ("MIX+WGAN", None, 4.04),
    ("DCGAN", None, 4.89),
    ("ALI", 14.53, 4.97),
    ("PixelCNN++", 3.289, 5.51),
    ("WGAN", None, 3.82),
    ("M-VAE", 3.17, 5.96),
)

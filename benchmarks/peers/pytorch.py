"""M-VAE's training step in PyTorch: a loop over components, or batched products with torch.compile.

Both compute what `mvae_tf.MixtureVAE` does under the preset paper_mnist: the same networks, one
posterior draw, eq. 8 as printed, KL terms, dHSIC and Adam, on the same images in shuffled batches.
"""

import itertools
import math

import torch
from torch import nn
from torch.distributions import Dirichlet, Normal, kl_divergence
from torch.nn import functional

HIDDEN_UNITS = (500, 500)
PRIOR_CONCENTRATION = 100.0


class Loop(nn.Module):
    """K encoders and K decoders, called one after the other."""

    def __init__(self, pixels, num_components, latent_dim):
        super().__init__()
        self.encoders = nn.ModuleList(
            _mlp((pixels, *HIDDEN_UNITS, 2 * latent_dim + 1)) for _ in range(num_components)
        )
        self.decoders = nn.ModuleList(
            _mlp((latent_dim, *reversed(HIDDEN_UNITS), pixels)) for _ in range(num_components)
        )

    def encode(self, images):
        return torch.stack([encoder(images) for encoder in self.encoders])

    def decode(self, codes):
        pairs = zip(self.decoders, codes, strict=True)
        return torch.stack([decoder(code) for decoder, code in pairs])


class Batched(nn.Module):
    """All components at once: each layer is one batched product."""

    def __init__(self, pixels, num_components, latent_dim):
        super().__init__()
        self.encoders = _BatchedMLP(num_components, (pixels, *HIDDEN_UNITS, 2 * latent_dim + 1))
        self.decoders = _BatchedMLP(num_components, (latent_dim, *reversed(HIDDEN_UNITS), pixels))
        self.num_components = num_components

    def encode(self, images):
        return self.encoders(images.expand(self.num_components, -1, -1))

    def decode(self, codes):
        return self.decoders(codes)


class _BatchedMLP(nn.Module):
    def __init__(self, num_components, sizes):
        super().__init__()
        pairs = list(itertools.pairwise(sizes))
        self.kernels = nn.ParameterList(
            torch.randn(num_components, *pair) * math.sqrt(2 / sum(pair)) for pair in pairs
        )
        self.biases = nn.ParameterList(torch.zeros(num_components, 1, pair[1]) for pair in pairs)

    def forward(self, hidden):
        for index, (kernel, bias) in enumerate(zip(self.kernels, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, kernel)
            if index + 1 < len(self.kernels):
                hidden = functional.relu(hidden)
        return hidden


def _mlp(sizes):
    layers = []
    for pair in itertools.pairwise(sizes):
        layers += [nn.Linear(*pair), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def dhsic(codes):
    """Return dHSIC of codes [K, n, d], with the bandwidth of mvae_tf's rule "dimension"."""
    dimension = codes.shape[-1]
    sigma = 2 * math.exp(math.lgamma((dimension + 1) / 2) - math.lgamma(dimension / 2))
    norms = codes.square().sum(-1)
    squared = norms[:, :, None] + norms[:, None, :] - 2 * codes @ codes.transpose(1, 2)
    kernels = torch.exp(-squared.clamp_min(0) / (2 * sigma**2))
    rows = kernels.mean(2)
    return kernels.prod(0).mean() + rows.mean(1).prod() - 2 * rows.prod(0).mean()


def loss(model, images, latent_dim):
    """Return eq. 14 of images [n, pixels]."""
    loc, scale, concentration = model.encode(images).float().split([latent_dim, latent_dim, 1], -1)
    posterior_z = Normal(loc, functional.softplus(scale) + 1e-7)
    posterior_w = Dirichlet(functional.softplus(concentration[..., 0]).T.clamp_min(1e-6))
    codes, weights = posterior_z.rsample(), posterior_w.rsample()
    reconstructed = torch.sigmoid(model.decode(codes).float())
    errors = (reconstructed - images).square().sum(-1)
    prior_w = Dirichlet(torch.full_like(weights, PRIOR_CONCENTRATION))
    kl_z = kl_divergence(posterior_z, Normal(0.0, 1.0)).sum((0, 2))
    kl_w = kl_divergence(posterior_w, prior_w)
    bound = -(weights.T * errors).sum(0) - kl_z - kl_w
    return dhsic(codes) - bound.mean()


def trainer(
    kind, images, *, num_components, latent_dim, batch_size, bfloat16, threads, device="cpu"
):
    """Return a function that trains for a number of steps.

    Args:
        kind: "loop"; "compiled": batched products under torch.compile; or "graphs": these replayed
            as CUDA graphs (mode "reduce-overhead").
        images: uint8 [n, pixels]; they live on the device.
        num_components: K.
        latent_dim: d.
        batch_size: Images a step.
        bfloat16: Whether the networks run under autocast.
        threads: Of PyTorch.
        device: "cpu" or "cuda"; there float32 products are in TF32, as TensorFlow's are.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    torch.distributions.Distribution.set_default_validate_args(False)
    torch.set_float32_matmul_precision("high")
    images = torch.from_numpy(images).to(device)
    network = Loop if kind == "loop" else Batched
    model = network(images.shape[1], num_components, latent_dim).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def forward(batch):
        with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
            return loss(model, batch, latent_dim)

    if kind != "loop":
        forward = torch.compile(forward, mode="reduce-overhead" if kind == "graphs" else None)

    def batches():
        while True:
            for indices in torch.randperm(len(images), device=device).split(batch_size):
                if len(indices) == batch_size:  # another size would be compiled anew
                    yield images[indices].float() / 255

    source = batches()

    def run(steps):
        for batch in itertools.islice(source, steps):
            optimizer.zero_grad(set_to_none=True)
            value = forward(batch)
            value.backward()
            optimizer.step()
        return value.item()

    return run

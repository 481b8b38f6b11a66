"""A trained model as a static web page, on which a browser decodes codes and mixes the images.

The page loads the decoder as ONNX into ONNX Runtime Web, which lies beside it: a server of plain
files is all that it needs, and it asks no other.
"""

import base64
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile

from mvae_tf.model import MixtureVAE
from mvae_tf.serving import graphs, onnx, portable, versions

RUNTIME = "onnxruntime-web@1.30.0"
_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
_RUNTIME_FILES = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
_PAGE = pathlib.Path(__file__).parent / "page"


def export_web(
    model: MixtureVAE, path: str | os.PathLike, *, runtime: str | os.PathLike | None = None
) -> pathlib.Path:
    """Write a model's decoder as a page with a slider for each code, and weights to choose.

    Args:
        model: trained or not.
        path: as for `export_saved_model`.
        runtime: the package file (.tgz) of ONNX Runtime Web, of the version `RUNTIME`. None: npm
            fetches it from its registry.

    Returns:
        The version's folder, about 14 MB and the decoder; the page is its index.html. Browsers
        load it from a server of files alone, not from the disk:
        `python -m http.server --directory FOLDER`.

    Raises:
        ImportError: the extra `onnx` is not installed.
        ValueError: the model's images are none that a screen shows, or the runtime is another.
        FileExistsError, OSError: as `export_saved_model` says; or the runtime can't be had.
    """
    onnx.require_packages()
    graphs.require_model(model)
    versions.require_new(path)  # now rather than after the download
    with tempfile.TemporaryDirectory() as folder:
        package = pathlib.Path(runtime) if runtime is not None else _fetched(pathlib.Path(folder))
        _require_runtime(package)
        decoder = onnx.converted(portable.functions(model)["decode"])
        described = {
            "num_components": model.num_components,
            "latent_dim": model.latent_dim,
            "image_shape": model.image_shape,
        }

        def fill(folder):
            for each in _PAGE.iterdir():
                if each.is_file():
                    shutil.copyfile(each, folder / each.name)
            (folder / "decode.onnx").write_bytes(decoder)
            (folder / "model.json").write_text(json.dumps(described))
            (folder / "runtime").mkdir()
            shutil.copyfile(_PAGE / "runtime" / "LICENSE.txt", folder / "runtime" / "LICENSE.txt")
            with tarfile.open(package) as archive:
                for name in _RUNTIME_FILES:
                    content = archive.extractfile(f"package/dist/{name}").read()
                    (folder / "runtime" / name).write_bytes(content)

        return versions.write(path, fill)


def _fetched(folder):
    """Let npm fetch the runtime's package; return its path."""
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError(
            f"Expected npm, to fetch {RUNTIME}. Received: none. Where there is one, `npm pack "
            f"{RUNTIME}` writes the file that --runtime takes."
        )
    done = subprocess.run(
        [npm, "pack", RUNTIME, "--silent"], cwd=folder, capture_output=True, text=True, check=False
    )
    packages = list(folder.glob("*.tgz"))
    if done.returncode or len(packages) != 1:
        reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no message"]
        raise OSError(
            f"Expected npm to fetch {RUNTIME}. Received: status {done.returncode} ({reason[0]})."
        )
    return packages[0]


def _require_runtime(package):
    with package.open("rb") as file:
        digest = base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if digest != _SHA512:
        raise ValueError(
            f"Expected the package file of {RUNTIME}, of SHA-512 {_SHA512[:12]}... Received: "
            f"{package}, of {digest[:12]}..."
        )

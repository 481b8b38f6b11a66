"""Every figure's drawing (Figures 1 to 5 and others): arrays in, matplotlib `Figure` out.

Figures are built without pyplot: none is kept alive, none needs a display, and the caller's own
matplotlib settings neither matter nor change. Every function raises ValueError for arguments whose
shapes, counts or values are not what its docstring says.

Example:
```python
figure = plots.image_rows([images, reconstructions], ["real", "mixture"])
plots.save(figure, "fig2.png")
```
"""

from mvae_tf.plots.comparisons import differences
from mvae_tf.plots.curves import Measure, ablation, sweep, trends
from mvae_tf.plots.images import image_grids, image_rows
from mvae_tf.plots.latents import latent_panels, latent_views
from mvae_tf.plots.prints import against_print
from mvae_tf.plots.style import CLASS_COLOURS, save

__all__ = [
    "CLASS_COLOURS",
    "Measure",
    "ablation",
    "against_print",
    "differences",
    "image_grids",
    "image_rows",
    "latent_panels",
    "latent_views",
    "save",
    "sweep",
    "trends",
]

from . import (
    blocks as blocks,
    criterion as criterion,
    deficits as deficits,
    independence as independence,
    permuted as permuted,
)
from .criterion import (
    dhsic as dhsic,
    dimension_bandwidth as dimension_bandwidth,
    gaussian_kernel as gaussian_kernel,
    median_bandwidth as median_bandwidth,
)
from .independence import IndependenceTest as IndependenceTest, dhsic_test as dhsic_test

"""The files that images come in: IDX archives, CIFAR-10's binary batches, folders of images."""

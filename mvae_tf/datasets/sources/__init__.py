"""Where a named dataset comes from: the first source that has it.

`first_found` tries them in order: TensorFlow Datasets' prepared data and downloads
(`tfds_prepared`), files put there by hand (`formats`), a package index (`package_index`);
`tfds_catalogue` is any other dataset of TensorFlow Datasets. `fetching` is what they share.
"""

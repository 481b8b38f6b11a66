"""A SavedModel behind KServe's own model server, by REST and gRPC: what `mvae-tf serve` runs.

`answers` asks the SavedModel; `rest` reads and writes TensorFlow Serving's JSON; `adapter` makes
both a model of KServe's; `bounds` is what a stranger's connection may take; `running` starts and
stops it all. Only the last three need the extra `serve`.
"""

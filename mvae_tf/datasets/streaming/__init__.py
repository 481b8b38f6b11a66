"""Folders of more images than memory holds: read, decoded and resized when they are needed.

`folders` makes the dataset, `survey` goes through all files once, `cache` keeps what they hold on
disk, and `images` is what a `Split` has in place of an array.
"""

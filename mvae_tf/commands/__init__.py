"""The commands of `mvae-tf`, one module each, and what they share.

`program` picks the command and turns whatever ends it into an exit status; `arguments` parses
flags; `sources` finds models and data; `outputs` writes what a command leaves behind; `streams`
cares for stdout and stderr.
"""

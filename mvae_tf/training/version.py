"""The version of what training computes."""

"""The same model as users of other libraries write it, for comparison."""

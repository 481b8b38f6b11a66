"""What the commands share: flags, settings, models and data, what is left behind, streams."""

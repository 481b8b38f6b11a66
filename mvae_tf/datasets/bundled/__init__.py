"""Images that come with an installed package, and so are always at hand."""

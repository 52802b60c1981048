"""Places to keep states, and `perdure.backends.url`, which finds the one a URL names."""

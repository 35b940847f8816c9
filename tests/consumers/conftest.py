"""These are programs, some of them for other environments: pytest is not to import them."""

collect_ignore_glob = ["*.py"]

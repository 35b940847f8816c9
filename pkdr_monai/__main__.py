"""``python -m pkdr_monai``: the command ``pkdr`` where its script is not on the path."""

from __future__ import annotations

from pkdr_monai.cli import main

__all__: list[str] = []

if __name__ == "__main__":
    main()

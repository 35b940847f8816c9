"""The command ``pkdr``, one module a verb; torch and MONAI load with the verb that runs, not with its help."""

from pkdr_monai.cli.commands import Commands, main

__all__ = ["Commands", "main"]

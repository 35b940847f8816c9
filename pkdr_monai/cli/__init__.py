"""The command ``pkdr``, one module a command; torch and MONAI load with the command that runs, not with its help."""

from pkdr_monai.cli.commands import Commands, main

__all__ = ["Commands", "main"]

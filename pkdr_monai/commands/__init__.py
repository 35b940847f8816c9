"""The verbs of ``pkdr``, a module a group; torch and MONAI load with the verb that runs, not with its help."""

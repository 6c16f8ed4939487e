"""Errors a user can act on: one sentence that names the thing, the value and the remedy."""


class FoirError(Exception):
    """Base of every error the workbook raises on purpose; the CLI prints its text and nothing else."""


class InputError(FoirError, ValueError):
    """A value, a prompt, a picture or an annotation that can't be used as it is."""


class MissingError(FoirError, FileNotFoundError):
    """A file, folder, data set or model that isn't where it was looked for."""


class IntegrityError(InputError):
    """A file that is there but isn't what it should be: wrong checksum, cut short, other version."""

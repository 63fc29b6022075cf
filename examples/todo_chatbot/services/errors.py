"""What the services raise. Each text is for the user."""


class ServiceError(Exception):
    """The root of what the services raise."""


class NotFound(ServiceError):
    """This user has no such thing; that somebody else has it makes no difference."""


class Invalid(ServiceError):
    """It cannot be like that."""


class Conflict(ServiceError):
    """It is there already, or was asked for differently before."""


class Unauthorized(ServiceError):
    """Who asks is not who they say, or no longer."""


class DatabaseUnavailable(ServiceError):
    """The database cannot be used."""

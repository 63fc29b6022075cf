"""What goes wrong with a model."""

from assistant_kit.errors.root import AssistantKitError
from assistant_kit.usage import RateLimits


class ModelError(AssistantKitError):
    """The provider of a model, or the way to it, failed.

    `status` is the HTTP status if there was one, `code` the provider's own error code, `request_id` the provider's
    name for the request, `retry_after` the seconds the provider asks to wait, `limits` what it said of its rate limits.
    """

    def __init__(
        self,
        message: str,
        *,
        model: str,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        should_retry: bool | None = None,
        limits: RateLimits | None = None,
    ) -> None:
        super().__init__(f"{model}: {message}")
        self.model = model
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.should_retry = should_retry
        self.limits = limits


class ModelUnreachable(ModelError):
    """No connection, or it broke before an answer began."""


class ModelTimeout(ModelError):
    """No answer in time."""


class ModelUnauthorized(ModelError):
    """Wrong key, or no permission."""


class ModelRateLimited(ModelError):
    """Too many requests, or no quota left."""


class ModelRejected(ModelError):
    """The provider refuses the request as it is; the same request will fail again."""


class ContextOverflow(ModelRejected):
    """The request is longer than the model's context window."""


class ModelUnavailable(ModelError):
    """The provider failed on its side."""


class ModelBroke(ModelError):
    """An answer that is no answer: cut off, malformed, or reported as failed."""

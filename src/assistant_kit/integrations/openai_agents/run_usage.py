"""What a run of the SDK has used, for quotas and limits around it."""

from agents import RunResult, RunResultStreaming

from assistant_kit.usage import Usage


def run_usage(result: RunResult | RunResultStreaming) -> Usage:
    """Return the requests and tokens of a whole run, those of tools that are agents included.

    `reported` is false when there were requests and no server told their tokens. Of a streamed run it is what was used
    so far: ask when its events have come to their end.
    """
    used = result.context_wrapper.usage
    return Usage(
        requests=used.requests,
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cached_tokens=used.input_tokens_details.cached_tokens or 0,
        reasoning_tokens=used.output_tokens_details.reasoning_tokens or 0,
        reported=used.requests == 0 or used.total_tokens > 0,
    )

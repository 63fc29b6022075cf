"""Proves from a user's audit chain that nobody has changed the journals, or says what was changed and where."""

from assistant_kit.audit.report import Anchor, AuditReport, Finding, Problem
from assistant_kit.audit.verification import anchor, verify

__all__ = ["Anchor", "AuditReport", "Finding", "Problem", "anchor", "verify"]

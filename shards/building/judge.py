"""From a sample's bytes to what is written: inspect, follow the policy, resize if asked, and say what was done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from shards.building.events import DONE, DROPPED, PictureEvent
from shards.building.policy import Action, Policy
from shards.errors import ShardError
from shards.pictures.inspect import DEFAULT_MAX_PIXELS, Inspection, inspect
from shards.pictures.resize import Resize, resized
from shards.pictures.troubles import Finding, Trouble

NOT_MENDED = frozenset({Trouble.CORRUPT, Trouble.TRUNCATED, Trouble.UNUSUAL})
_ORDER = list(Trouble)


@dataclass(frozen=True, kw_only=True)
class Judge:
    """How pictures are checked and changed.

    Attributes:
        policy: what to do about trouble.
        max_pixels: pictures with more are TOO_LARGE.
        decode: whether every picture is decoded in full; headers are always read.
        resize: shrink and encode again, or None to leave pictures as they are.
    """

    policy: Policy = field(default_factory=Policy)
    max_pixels: int = DEFAULT_MAX_PIXELS
    decode: bool = True
    resize: Resize | None = None

    def describe(self) -> str:
        """One line that differs between judges which may write different bytes."""
        return f"{self.policy.describe()} {self.max_pixels} {self.decode} {self.resize}"

    def judge(self, name: str, content: bytes) -> Verdict:
        """Decide on one picture.

        Raises:
            ShardError: the policy for one of its troubles is to stop.
        """
        seen = self._inspect(content, name)
        if not seen.findings and self.resize is None:
            return Verdict(suffix=seen.suffix, content=content, events=[])
        events = [self._event(finding, name) for finding in seen.findings]
        if any(event["action"] == DROPPED for event in events):
            return Verdict(suffix=None, content=content, events=events)
        try:
            suffix, mended = self._mend(seen, content)
        except Exception as error:  # Pillow's plugins raise whatever their parsers trip over
            return self._left_out(Finding(trouble=Trouble.CORRUPT, detail=str(error)), name, content, events)
        if mended is not content and (damage := self._damage(f"{name}.{suffix}", mended)) is not None:
            return self._left_out(damage, name, content, events)
        if self.resize is not None:
            suffix, mended = resized(suffix, mended, self.resize)
        return Verdict(suffix=suffix, content=mended, events=events)

    def judge_unreadable(self, name: str, error: OSError) -> Verdict:
        """Decide on a picture whose bytes the source could not give. Raises as `judge` does."""
        event = self._event(Finding(trouble=Trouble.UNREADABLE, detail=str(error)), name)
        return Verdict(suffix=None, content=b"", events=[event])

    def _inspect(self, content: bytes, name: str) -> Inspection:
        return inspect(content, name, max_pixels=self.max_pixels, decode=self.decode)

    def _mend(self, seen: Inspection, content: bytes) -> tuple[str, bytes]:
        suffix = seen.suffix
        assert suffix is not None  # an inspection without a suffix has a finding that cannot be kept
        for finding in _in_fixing_order(seen.findings):
            if self.policy.actions[finding.trouble] in (Action.FIX, Action.BAKE):
                suffix, content = self.policy.fix(finding.trouble, suffix, content)
        return suffix, content

    def _left_out(self, finding: Finding, name: str, content: bytes, events: list[PictureEvent]) -> Verdict:
        """A picture that could not be mended."""
        last = self._event(finding, name) | {"action": DROPPED}
        return Verdict(suffix=None, content=content, events=[*events, last])

    def _damage(self, name: str, mended: bytes) -> Finding | None:
        """What is still wrong with a mended picture, if anything."""
        findings = inspect(mended, name, max_pixels=self.max_pixels).findings
        return next((f for f in findings if f.trouble in NOT_MENDED and self._is_refused(f)), None)

    def _is_refused(self, finding: Finding) -> bool:
        return finding.trouble != Trouble.UNUSUAL or self.policy.actions[Trouble.UNUSUAL] != Action.KEEP

    def _event(self, finding: Finding, name: str) -> PictureEvent:
        action = self.policy.actions[finding.trouble]
        if action == Action.STOP:
            raise ShardError(
                f"{finding.trouble}, and the policy for it is to stop",
                where=name,
                found=finding.detail or None,
                fix=f"mend or remove the file, or go on without it: --on {finding.trouble}=quarantine",
            )
        return {
            "name": name,
            "trouble": str(finding.trouble),
            "action": DONE[action],
            "detail": finding.detail,
        }


class Verdict(NamedTuple):
    """What becomes of a picture. `suffix` is None when it is left out, and `content` then is the original."""

    suffix: str | None
    content: bytes
    events: list[PictureEvent]


def _in_fixing_order(findings: tuple[Finding, ...]) -> list[Finding]:
    """Metadata before pixels: a rotation is settled before a conversion forgets it, formats come last."""
    return sorted(findings, key=lambda finding: _ORDER.index(finding.trouble), reverse=True)

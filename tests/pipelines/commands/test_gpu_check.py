"""What can be known of gpu-check without a GPU: it refuses in one line, and reads test reports rightly."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import torch

from pipelines.commands import gpu_check
from pipelines.errors import PipelineError

REPORT = """<testsuites><testsuite><testcase classname="tests.a" name="one"/>
<testcase classname="tests.a" name="two"><failure message="no"/></testcase>
<testcase classname="tests.a" name="three"><skipped/></testcase></testsuite></testsuites>"""


def test_it_refuses_a_machine_without_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(PipelineError, match="gpu-check: no CUDA device"):
        gpu_check._device_name()


def test_it_reads_what_became_of_each_test() -> None:
    cases = list(ElementTree.fromstring(REPORT).iter("testcase"))
    found = {gpu_check._name(case): gpu_check._outcome(case) for case in cases}
    assert found == {"tests.a.one": "passed", "tests.a.two": "failed", "tests.a.three": "skipped"}

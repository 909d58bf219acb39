import argparse

from streamseg.cli import doctor
from streamseg.cli.extras import EXTRAS


def test_every_dependency_is_checked():
    findings = {finding.name: finding for finding in doctor.examine()}
    for name in ("torch", "onnxruntime", "cv2", "av", "zmq"):
        assert findings[name].state == "ok", findings[name]
        assert findings[name].remark
    assert findings["CUDA"].state in ("ok", "absent")
    assert findings["torchvision"].state in ("ok", "absent")


def test_package_of_every_extra_is_named():
    findings = {finding.name: finding for finding in doctor.examine()}
    assert set(EXTRAS) <= findings.keys()
    assert all(module in EXTRAS for module, _, _ in doctor.PACKAGES)
    assert all(findings[module].remark for module, _, _ in doctor.PACKAGES)


def test_report_has_one_line_per_finding(capsys):
    doctor.run(argparse.Namespace(inputs=[], source=[], timeout=1.0))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("streamseg ")
    assert len(lines) == 1 + len(doctor.examine())


def test_included_configurations_are_listed_with_their_folder():
    finding = next(finding for finding in doctor.examine() if finding.name == "configurations")
    assert finding.state == "ok"
    assert {"demo", "robot", "rtsp"} <= set(finding.remark.partition(" in ")[0].split(", "))
    assert finding.remark.endswith("configs")

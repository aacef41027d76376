import base64
import hashlib
import json

import pytest
from support.visits import BOXES, SAMPLES, KnownLesions, add, new_store

from acne_monitor.exchange.fhir import to_bundle, to_json
from acne_monitor.history import History
from acne_runtime.sources.image_files import read_image

# Value sets that FHIR R4 requires (http://hl7.org/fhir/R4); the package checks the shape of a resource, not these.
STATUS = {
    "Observation": {
        "registered", "preliminary", "final", "amended", "corrected", "cancelled", "entered-in-error", "unknown",
    },
    "DiagnosticReport": {
        "registered", "partial", "preliminary", "final", "amended", "corrected", "appended", "cancelled",
        "entered-in-error", "unknown",
    },
    "Media": {
        "preparation", "in-progress", "not-done", "on-hold", "stopped", "completed", "entered-in-error", "unknown",
    },
}  # fmt: skip
BUNDLE_TYPES = {
    "document",
    "message",
    "transaction",
    "transaction-response",
    "batch",
    "batch-response",
    "history",
    "searchset",
    "collection",
}
DEVICE_NAMES = {
    "udi-label-name",
    "user-friendly-name",
    "patient-reported-name",
    "manufacturer-name",
    "model-name",
    "other",
}


def problems(bundle):
    """Returns what a FHIR R4 server would refuse."""
    pytest.importorskip("fhir.resources")
    from fhir.resources.R4B.bundle import Bundle

    found = []
    try:
        Bundle.model_validate(bundle)
    except ValueError as error:
        found.append(str(error))
    if bundle["type"] not in BUNDLE_TYPES:
        found.append(f"type {bundle['type']}")
    known = {entry["fullUrl"] for entry in bundle["entry"]}
    for entry in bundle["entry"]:
        resource = entry["resource"]
        allowed = STATUS.get(resource["resourceType"])
        if allowed and resource.get("status") not in allowed:
            found.append(f"status {resource.get('status')}")
        found += [name["type"] for name in resource.get("deviceName", []) if name["type"] not in DEVICE_NAMES]
        found += [reference for reference in references(resource) if reference not in known]
    if len(known) != len(bundle["entry"]):
        found.append("an address twice")
    return found


def references(value):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from [item] if key == "reference" else references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


@pytest.fixture
def store(tmp_path):
    with new_store(tmp_path / "store") as store:
        yield store


def with_visits(store):
    detector = KnownLesions()
    add(store, detector, 1, BOXES)
    add(store, detector, 8, BOXES[1:])
    add(store, detector, 15, BOXES[:1], image=read_image(SAMPLES / "astronaut.png"))
    visit = store.one("SELECT id FROM visit ORDER BY at_local DESC")["id"]
    with store.transaction() as audit:
        store.insert("assessment", visit=visit, by="Dr. A", at="2026-11-15", iga=2, inflammatory=7, text="better")
        audit("assess", "")
    return History(store, "S-01")


def test_a_history_is_a_valid_bundle(store):
    bundle = to_bundle(store, with_visits(store))
    assert problems(bundle) == []
    kinds = [entry["resource"]["resourceType"] for entry in bundle["entry"]]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "Patient": 1, "Device": 1, "Media": 3, "Observation": 9, "DiagnosticReport": 1
    }  # fmt: skip


def test_the_check_sees_a_wrong_status_and_a_lost_reference(store):
    bundle = to_bundle(store, with_visits(store))
    media = next(entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Media")
    media["status"] = "done"
    media["subject"] = {"reference": "urn:uuid:nobody"}
    assert problems(bundle) == ["status done", "urn:uuid:nobody"]
    media["color"] = "red"
    assert len(problems(bundle)) == 3


def test_counts_and_change_with_its_error_are_in_it(store):
    bundle = to_bundle(store, with_visits(store))
    observations = [
        entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == "Observation"
    ]
    by_code = {}
    for one in observations:
        by_code.setdefault(one["code"]["coding"][0]["code"], []).append(one)
    assert [one["valueInteger"] for one in by_code["lesion-count"]] == [5, 4, 1]
    assert all(one["status"] == "preliminary" for one in by_code["lesion-count"])
    changed, refused = by_code["change"]
    assert changed["valueQuantity"]["value"] == -1
    assert [part["code"]["coding"][0]["code"] for part in changed["component"]] == [
        "measuring-error",
        "new",
        "resolved",
    ]
    assert "take the same view again" in refused["dataAbsentReason"]["text"] and "valueQuantity" not in refused
    (assessed,) = by_code["assessment"]
    assert assessed["status"] == "final" and assessed["performer"] == [{"display": "Dr. A"}]


def test_neither_name_nor_birth_date_nor_pixels_by_default(store):
    text = to_json(store, with_visits(store))
    patient = next(one["resource"] for one in json.loads(text)["entry"] if one["resource"]["resourceType"] == "Patient")
    assert patient.keys() == {"resourceType", "identifier"}
    assert '"data"' not in text and len(text) < 40_000
    assert "For education and monitoring only. Not a medical diagnosis." in text


def test_photographs_are_in_it_if_asked(store):
    bundle = to_bundle(store, with_visits(store), with_photographs=True)
    assert problems(bundle) == []
    content = next(one["resource"]["content"] for one in bundle["entry"] if one["resource"]["resourceType"] == "Media")
    jpeg = base64.b64decode(content["data"])
    assert jpeg.startswith(b"\xff\xd8") and content["size"] == len(jpeg)
    assert base64.b64decode(content["hash"]) == hashlib.sha1(jpeg).digest()


def test_it_is_the_same_each_time_and_survives_json(store):
    history = with_visits(store)
    assert to_json(store, history) == to_json(store, history)
    assert json.loads(to_json(store, history)) == to_bundle(store, history)


def test_a_subject_without_visits(store):
    assert problems(to_bundle(store, History(store, "S-01"))) == []


def test_a_time_of_day_needs_its_offset(store):
    add(store, KnownLesions(), 1, BOXES)
    media = next(
        entry["resource"]
        for entry in to_bundle(store, History(store, "S-01"))["entry"]
        if entry["resource"]["resourceType"] == "Media"
    )
    assert media["createdDateTime"] == "2026-11-01"

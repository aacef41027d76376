"""A subject's history as a FHIR R4 bundle (HL7 FHIR 4.0.1), of type `collection`.

No LOINC code for counts of acne lesions was found and SNOMED CT is licensed by country, so codes are our own, with
text.
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Sequence
from typing import Any

from acne_monitor.history import GROUPS, History, Photograph, Visit, change
from acne_monitor.store.store import Store
from acne_runtime.severity import NO_DIAGNOSIS

SYSTEM = "urn:acne-edge:codes"
_SUBJECT_SYSTEM = "urn:acne-edge:subject"
_DIGEST_SYSTEM = "urn:acne-edge:sha256"
_NAMES = {
    "lesion-count": "Number of acne lesions found by a model",
    "severity": "Severity grade (Hayashi 2008) computed from a model's count",
    "change": "Change of the number of acne lesions since the first visit",
    "assessment": "Clinician's own counts and global assessment (IGA)",
    "report": "Acne lesions over time",
}


def to_json(store: Store, history: History, with_photographs: bool = False) -> str:
    """Returns the bundle as JSON.

    Args:
        store: Holds the photographs.
        history: The subject's.
        with_photographs: Whether the photographs' bytes are in it, or only their digests.
    """
    return json.dumps(to_bundle(store, history, with_photographs), ensure_ascii=False, indent=1)


def to_bundle(store: Store, history: History, with_photographs: bool = False) -> dict[str, Any]:
    """Returns the bundle; see `to_json`. It holds the subject's code, and neither name nor date of birth."""
    patient = _reference(history.subject["id"])
    resources: list[tuple[str, dict[str, Any]]] = [
        (
            history.subject["id"],
            {
                "resourceType": "Patient",
                "identifier": [{"system": _SUBJECT_SYSTEM, "value": history.subject["code"]}],
            },
        )
    ]
    device = _id(history.model_sha256 or "none")
    if history.model_sha256:
        resources.append((device, _device(history)))
    results: list[str] = []
    media: list[str] = []
    for visit in history.visits:
        for photograph in visit.photographs.values():
            resources.append((photograph.id, _media(store, visit, photograph, patient, with_photographs)))
            media.append(photograph.id)
            for identifier, observation in _observations(history, visit, photograph, patient, device):
                resources.append((identifier, observation))
                results.append(identifier)
        for row in visit.assessments:
            resources.append((row["id"], _assessment(row, visit, patient)))
            results.append(row["id"])
    if history.visits:
        report: dict[str, Any] = {
            "resourceType": "DiagnosticReport",
            "status": "preliminary",
            "code": _concept("report"),
            "subject": patient,
            "effectivePeriod": {"start": _time(history.visits[0]), "end": _time(history.visits[-1])},
            "result": [_reference(identifier) for identifier in results],
            "media": [{"link": _reference(identifier)} for identifier in media],
            "conclusion": NO_DIAGNOSIS,
        }
        resources.append((_id("report", history.subject["id"]), {key: value for key, value in report.items() if value}))
    entries = [{"fullUrl": f"urn:uuid:{identifier}", "resource": resource} for identifier, resource in resources]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _device(history: History) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "identifier": [{"system": _DIGEST_SYSTEM, "value": history.model_sha256}],
        "deviceName": [{"name": history.models[history.model_sha256], "type": "model-name"}],
        "type": {"text": "Model that detects acne lesions; not a medical device"},
    }


def _media(
    store: Store, visit: Visit, photograph: Photograph, patient: dict[str, str], with_photographs: bool
) -> dict[str, Any]:
    row = store.one("SELECT jpeg, sha256 FROM photo WHERE id = ?", photograph.id)
    assert row is not None
    content: dict[str, Any] = {"contentType": "image/jpeg", "title": f"{visit.name} {photograph.view}"}
    if with_photographs:
        content["data"] = base64.b64encode(row["jpeg"]).decode()
        content["size"] = len(row["jpeg"])
        # FHIR R4 wants SHA-1 here.
        content["hash"] = base64.b64encode(hashlib.sha1(row["jpeg"], usedforsecurity=False).digest()).decode()
    return {
        "resourceType": "Media",
        "identifier": [{"system": _DIGEST_SYSTEM, "value": row["sha256"]}],
        "status": "completed",
        "subject": patient,
        "createdDateTime": _time(visit),
        "bodySite": {"text": f"face, {photograph.view}"},
        "width": photograph.width,
        "height": photograph.height,
        "content": content,
    }


def _observations(
    history: History, visit: Visit, photograph: Photograph, patient: dict[str, str], device: str
) -> list[tuple[str, dict[str, Any]]]:
    shared: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "preliminary",
        "subject": patient,
        "effectiveDateTime": _time(visit),
        "bodySite": {"text": f"face, {photograph.view}"},
        "device": _reference(device),
        "derivedFrom": [_reference(photograph.id)],
        "note": [{"text": NO_DIAGNOSIS}],
    }
    counts = photograph.counts()
    found: list[tuple[str, dict[str, Any]]] = [
        (
            _id("count", photograph.run),
            shared
            | {
                "code": _concept("lesion-count"),
                "valueInteger": counts["total"],
                "component": [
                    {"code": _concept(group, f"Number of {group} lesions"), "valueInteger": counts[group]}
                    for group in GROUPS
                ],
            },
        )
    ]
    if photograph.severity is not None:
        grade = photograph.severity["grade"]
        coded = {"coding": [{"system": SYSTEM, "code": grade.replace(" ", "-"), "display": grade}], "text": grade}
        found.append(
            (_id("severity", photograph.run), shared | {"code": _concept("severity"), "valueCodeableConcept": coded})
        )
    first = next(one for one in history.visits if photograph.view in one.photographs)
    if first is not visit:
        compared = [one for one in history.compare(first, visit) if one.view == photograph.view]
        difference = change(compared)
        base: dict[str, Any] = shared | {"code": _concept("change")}
        if difference is None:
            base["dataAbsentReason"] = {"text": f"not comparable: {compared[0].refused}"}
        else:
            base["valueQuantity"] = {"value": difference.difference, "unit": "lesions"}
            base["interpretation"] = [{"text": difference.verdict}]
            base["component"] = [
                {
                    "code": _concept("measuring-error", "95 % limit of the difference of unchanged skin"),
                    "valueQuantity": {"value": round(difference.error, 1), "unit": "lesions"},
                },
                {"code": _concept("new", "New lesions"), "valueInteger": difference.new},
                {"code": _concept("resolved", "Resolved lesions"), "valueInteger": difference.resolved},
            ]
        found.append((_id("change", photograph.run), base))
    return found


def _assessment(row: Any, visit: Visit, patient: dict[str, str]) -> dict[str, Any]:
    names = {
        "iga": "Investigator's Global Assessment",
        "inflammatory": "Number of inflammatory lesions",
        "noninflammatory": "Number of non-inflammatory lesions",
        "nodules": "Number of nodules",
    }
    observation: dict[str, Any] = {
        "resourceType": "Observation",
        "status": "final",
        "code": _concept("assessment"),
        "subject": patient,
        "effectiveDateTime": _time(visit),
        "performer": [{"display": row["by"]}],
    }
    components = [
        {"code": _concept(column, text), "valueInteger": row[column]}
        for column, text in names.items()
        if row[column] is not None
    ]
    if components:
        observation["component"] = components
    if row["text"]:
        observation["valueString"] = row["text"]
    return observation


def _concept(code: str, text: str | None = None) -> dict[str, Any]:
    display = text or _NAMES[code]
    return {"coding": [{"system": SYSTEM, "code": code, "display": display}], "text": display}


def _time(visit: Visit) -> str:
    """Returns the visit's time; FHIR has a time of day only with its offset."""
    return visit.at_local + visit.utc_offset if visit.utc_offset else visit.date


def _reference(identifier: str) -> dict[str, str]:
    return {"reference": f"urn:uuid:{identifier}"}


def _id(*parts: str | Sequence[str]) -> str:
    """Returns a UUID that is the same at every export."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{SYSTEM}/{'/'.join(map(str, parts))}"))

"""The tables of a store, version by version."""

from __future__ import annotations

VERSION = 1
"""`PRAGMA user_version` of a store that this code writes."""

MIGRATIONS: dict[int, str] = {
    # Photographs are in the file itself: a photograph and its rows are written together or not at all, and an erased
    # one is overwritten by SQLite's `secure_delete`.
    1: """
CREATE TABLE subject (
    id TEXT PRIMARY KEY,            -- UUID
    code TEXT NOT NULL UNIQUE,      -- what people call it, never a name
    created TEXT NOT NULL,
    retain_until TEXT
);
CREATE TABLE consent (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL REFERENCES subject ON DELETE CASCADE,
    purpose TEXT NOT NULL,
    text_sha256 TEXT NOT NULL,      -- of the document that was signed
    given_at TEXT NOT NULL,
    withdrawn_at TEXT,
    by TEXT NOT NULL
);
CREATE TABLE visit (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL REFERENCES subject ON DELETE CASCADE,
    at_local TEXT NOT NULL,         -- YYYY-MM-DDTHH:MM:SS where the photograph was taken
    utc_offset TEXT,                -- +HH:MM, if known
    at_source TEXT NOT NULL         -- given, exif, file or now
);
CREATE TABLE photo (
    id TEXT PRIMARY KEY,
    visit TEXT NOT NULL REFERENCES visit ON DELETE CASCADE,
    view TEXT NOT NULL,
    jpeg BLOB NOT NULL,             -- upright, without EXIF
    sha256 TEXT NOT NULL,           -- of jpeg
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    quality TEXT NOT NULL,          -- JSON of acne_runtime.quality.Quality
    override_by TEXT,               -- who took it in spite of its quality
    UNIQUE (visit, view)
);
CREATE TABLE run (                  -- one model on one photograph
    id TEXT PRIMARY KEY,
    photo TEXT NOT NULL REFERENCES photo ON DELETE CASCADE,
    model TEXT NOT NULL,
    model_sha256 TEXT NOT NULL,
    runtime TEXT NOT NULL,          -- version of acne_runtime
    classes TEXT NOT NULL,          -- JSON list
    threshold REAL NOT NULL,
    frame_counts TEXT NOT NULL,     -- JSON: lesions shown on each frame of the burst
    severity TEXT,                  -- JSON, if the model supports it
    accuracy TEXT,                  -- JSON: what its file says of its accuracy
    made_at TEXT NOT NULL,
    UNIQUE (photo, model_sha256)
);
CREATE TABLE detection (
    id TEXT PRIMARY KEY,
    run TEXT NOT NULL REFERENCES run ON DELETE CASCADE,
    class TEXT NOT NULL,
    score REAL NOT NULL,            -- mean over the burst
    ratio REAL NOT NULL,            -- score over the threshold; below 1 it is evidence only
    unsure INTEGER NOT NULL,
    x1 REAL NOT NULL, y1 REAL NOT NULL, x2 REAL NOT NULL, y2 REAL NOT NULL
);
CREATE TABLE registration (         -- how a photograph was aligned with an earlier one
    run TEXT NOT NULL REFERENCES run ON DELETE CASCADE,
    earlier TEXT NOT NULL REFERENCES run ON DELETE CASCADE,
    refused TEXT,                   -- why, in words; NULL where it is aligned
    inliers INTEGER NOT NULL,
    residual_px REAL,
    PRIMARY KEY (run, earlier)
);
CREATE TABLE lesion (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL REFERENCES subject ON DELETE CASCADE,
    view TEXT NOT NULL
);
CREATE TABLE observation (          -- a lesion at a visit
    id TEXT PRIMARY KEY,
    lesion TEXT NOT NULL REFERENCES lesion ON DELETE CASCADE,
    run TEXT NOT NULL REFERENCES run ON DELETE CASCADE,
    detection TEXT REFERENCES detection ON DELETE CASCADE,
    presence TEXT NOT NULL,         -- present, absent, uncertain, out of view or not a lesion
    x1 REAL, y1 REAL, x2 REAL, y2 REAL,  -- its place on the photograph; NULL out of view
    by TEXT,                        -- who corrected it; NULL: the model
    UNIQUE (lesion, run)
);
CREATE TABLE treatment (
    id TEXT PRIMARY KEY,
    subject TEXT NOT NULL REFERENCES subject ON DELETE CASCADE,
    text TEXT NOT NULL,
    from_date TEXT NOT NULL,
    to_date TEXT
);
CREATE TABLE assessment (           -- a clinician's own
    id TEXT PRIMARY KEY,
    visit TEXT NOT NULL REFERENCES visit ON DELETE CASCADE,
    by TEXT NOT NULL,
    at TEXT NOT NULL,
    iga INTEGER,
    inflammatory INTEGER,
    noninflammatory INTEGER,
    nodules INTEGER,
    text TEXT
);
CREATE TABLE audit (                -- chained: each hash covers the one before
    seq INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    what TEXT NOT NULL,             -- random ids and counts only, so that it may outlive what it is about
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE INDEX visit_subject ON visit (subject, at_local);
CREATE INDEX detection_run ON detection (run);
CREATE INDEX observation_run ON observation (run);
""",
}

TABLES = (
    "subject", "consent", "visit", "photo", "run", "detection", "registration", "lesion", "observation", "treatment",
    "assessment", "audit",
)  # fmt: skip
"""All tables, each after those that it refers to."""

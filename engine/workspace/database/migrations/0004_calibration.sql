-- Calibrations: what was asked, what it was made from, and everything that pages and reports show of it.
CREATE TABLE calibrations (
    calibration_id VARCHAR NOT NULL, collection_id VARCHAR NOT NULL, query_set VARCHAR NOT NULL, spec JSON NOT NULL, content_hash VARCHAR NOT NULL,
    judgments_hash VARCHAR NOT NULL, fingerprints JSON NOT NULL, result JSON NOT NULL, created_at TIMESTAMP NOT NULL
);

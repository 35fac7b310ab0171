-- One row: counters that never go back, and the number of the last committed write.
CREATE TABLE counters (write_seq BIGINT NOT NULL, next_doc_no BIGINT NOT NULL, next_passage_no BIGINT NOT NULL);
INSERT INTO counters VALUES (0, 1, 1);

CREATE TABLE settings (key VARCHAR NOT NULL, value JSON NOT NULL);

CREATE TABLE collections (
    collection_id VARCHAR NOT NULL, name VARCHAR NOT NULL, description VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL,
    revision BIGINT NOT NULL, settings JSON NOT NULL
);

-- The single writer keeps (collection_id, doc_id) unique: a unique index here would refuse delete-and-insert in one transaction.
CREATE TABLE documents (
    doc_no BIGINT PRIMARY KEY, collection_id VARCHAR NOT NULL, doc_id VARCHAR NOT NULL, title VARCHAR NOT NULL, text VARCHAR NOT NULL,
    authors VARCHAR[] NOT NULL, year INTEGER, venue VARCHAR NOT NULL, url VARCHAR NOT NULL, source VARCHAR NOT NULL,
    metadata JSON NOT NULL, content_hash VARCHAR NOT NULL, added_at TIMESTAMP NOT NULL
);

CREATE TABLE passages (
    passage_no BIGINT PRIMARY KEY, doc_no BIGINT NOT NULL, collection_id VARCHAR NOT NULL, ordinal INTEGER NOT NULL,
    start_char INTEGER NOT NULL, end_char INTEGER NOT NULL
);

CREATE TABLE queries (collection_id VARCHAR NOT NULL, qid VARCHAR NOT NULL, text VARCHAR NOT NULL, metadata JSON NOT NULL);

CREATE TABLE judgments (
    collection_id VARCHAR NOT NULL, qid VARCHAR NOT NULL, doc_id VARCHAR NOT NULL, rating INTEGER NOT NULL,
    assessor VARCHAR NOT NULL, judged_at TIMESTAMP NOT NULL
);

CREATE TABLE jobs (
    job_id VARCHAR NOT NULL, kind VARCHAR NOT NULL, collection_id VARCHAR, params JSON NOT NULL, status VARCHAR NOT NULL,
    phase VARCHAR NOT NULL, done BIGINT NOT NULL, total BIGINT, unit VARCHAR NOT NULL, error VARCHAR NOT NULL, counts JSON NOT NULL,
    created_at TIMESTAMP NOT NULL, started_at TIMESTAMP, finished_at TIMESTAMP
);

-- The journal of a job: what has been taken from each file, written in the transaction that stores it.
CREATE TABLE job_files (
    job_id VARCHAR NOT NULL, ordinal INTEGER NOT NULL, source VARCHAR NOT NULL, stamp VARCHAR NOT NULL, status VARCHAR NOT NULL,
    items_done BIGINT NOT NULL, added BIGINT NOT NULL, changed BIGINT NOT NULL, unchanged BIGINT NOT NULL, duplicate BIGINT NOT NULL,
    rejected BIGINT NOT NULL, queries BIGINT NOT NULL, judgments BIGINT NOT NULL, error VARCHAR NOT NULL
);

-- The ids a running job has met, so that a duplicate is recognized across files and after an interruption.
CREATE TABLE job_seen (job_id VARCHAR NOT NULL, doc_id VARCHAR NOT NULL);

CREATE TABLE rejections (job_id VARCHAR NOT NULL, number BIGINT NOT NULL, place VARCHAR NOT NULL, reason VARCHAR NOT NULL, excerpt VARCHAR NOT NULL);

CREATE TABLE generations (
    generation_id VARCHAR NOT NULL, collection_id VARCHAR NOT NULL, kind VARCHAR NOT NULL, params JSON NOT NULL, fingerprint VARCHAR NOT NULL,
    revision BIGINT NOT NULL, rows BIGINT NOT NULL, dim BIGINT NOT NULL, bytes BIGINT NOT NULL, manifest_sha256 VARCHAR NOT NULL,
    details JSON NOT NULL, created_at TIMESTAMP NOT NULL
);

-- Builds under way: the folder tmp-<generation_id> of a build that an unfinished job will resume is not an orphan.
CREATE TABLE builds (
    generation_id VARCHAR NOT NULL, collection_id VARCHAR NOT NULL, kind VARCHAR NOT NULL, params JSON NOT NULL, job_id VARCHAR NOT NULL,
    created_at TIMESTAMP NOT NULL
);

CREATE TABLE pipelines (name VARCHAR NOT NULL, yaml VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL);

CREATE TABLE query_log (
    ts TIMESTAMP NOT NULL, collection_id VARCHAR NOT NULL, query VARCHAR NOT NULL, pipeline VARCHAR NOT NULL, k INTEGER NOT NULL,
    hits INTEGER NOT NULL, ms DOUBLE NOT NULL
);

CREATE TABLE shortlist (collection_id VARCHAR NOT NULL, doc_id VARCHAR NOT NULL, added_at TIMESTAMP NOT NULL, note VARCHAR NOT NULL);

-- A judgment keeps a note and what the assessor had on the screen: {"queue", "position", "order", "revealed", ...}, or where a file held it.
ALTER TABLE judgments ADD COLUMN note VARCHAR DEFAULT '';
ALTER TABLE judgments ADD COLUMN shown JSON DEFAULT '{}';

-- What assessors did, in order, so that it can be told and taken back. `before` is the judgment that this act replaced, or null.
CREATE TABLE judging_events (
    event_no BIGINT NOT NULL, collection_id VARCHAR NOT NULL, query_set VARCHAR NOT NULL, qid VARCHAR NOT NULL, doc_id VARCHAR NOT NULL,
    assessor VARCHAR NOT NULL, action VARCHAR NOT NULL, rating INTEGER, note VARCHAR NOT NULL, shown JSON NOT NULL, before JSON,
    acted_at TIMESTAMP NOT NULL, undone_at TIMESTAMP
);

-- Which judgment of a pair counts when several assessors gave one; a set without a row takes the latest.
CREATE TABLE judgment_rules (collection_id VARCHAR NOT NULL, query_set VARCHAR NOT NULL, rule VARCHAR NOT NULL);

-- Documents to be judged, in their order, drawn from what an evaluation found. `found` holds who found it at which rank.
CREATE TABLE judging_queues (
    queue_id VARCHAR NOT NULL, collection_id VARCHAR NOT NULL, query_set VARCHAR NOT NULL, evaluation_id VARCHAR NOT NULL, job_id VARCHAR NOT NULL,
    spec JSON NOT NULL, created_at TIMESTAMP NOT NULL, ready_at TIMESTAMP
);
CREATE TABLE judging_items (
    queue_id VARCHAR NOT NULL, position INTEGER NOT NULL, qid VARCHAR NOT NULL, doc_id VARCHAR NOT NULL, found JSON NOT NULL, effect DOUBLE
);

-- Runs of other systems. A name is unique within a collection; its hits are what the file held.
CREATE TABLE runs (
    run_id VARCHAR NOT NULL, collection_id VARCHAR NOT NULL, name VARCHAR NOT NULL, tag VARCHAR NOT NULL, source VARCHAR NOT NULL,
    digest VARCHAR NOT NULL, imported_at TIMESTAMP NOT NULL
);
CREATE TABLE run_hits (run_id VARCHAR NOT NULL, qid VARCHAR NOT NULL, doc_id VARCHAR NOT NULL, score DOUBLE NOT NULL);

-- Blind comparisons of two pipelines: what was on which side, and what was voted for before the names were told.
CREATE TABLE blind_sessions (
    session_id VARCHAR NOT NULL, collection_id VARCHAR NOT NULL, spec JSON NOT NULL, seed BIGINT NOT NULL, created_at TIMESTAMP NOT NULL
);
CREATE TABLE blind_rounds (
    session_id VARCHAR NOT NULL, round_no INTEGER NOT NULL, query VARCHAR NOT NULL, left_pipeline VARCHAR NOT NULL, right_pipeline VARCHAR NOT NULL,
    left_docs VARCHAR[] NOT NULL, right_docs VARCHAR[] NOT NULL, vote VARCHAR, voter VARCHAR NOT NULL, made_at TIMESTAMP NOT NULL, voted_at TIMESTAMP
);

-- Queries and judgments belong to a named set; what was there before is the set 'default'. A query id is unique within its set.
ALTER TABLE queries ADD COLUMN query_set VARCHAR DEFAULT 'default';
ALTER TABLE judgments ADD COLUMN query_set VARCHAR DEFAULT 'default';

-- Pipelines run over a query set. `key` is the hash of everything that decides the hits; spec holds that and how they are judged.
CREATE TABLE evaluations (
    evaluation_id VARCHAR NOT NULL, collection_id VARCHAR NOT NULL, query_set VARCHAR NOT NULL, key VARCHAR NOT NULL, spec JSON NOT NULL,
    revision BIGINT NOT NULL, content_hash VARCHAR NOT NULL, queries_hash VARCHAR NOT NULL, judgments_hash VARCHAR NOT NULL,
    fingerprints JSON NOT NULL, created_at TIMESTAMP NOT NULL, finished_at TIMESTAMP
);

-- The queries that are finished, each written in the transaction that stores what was found.
CREATE TABLE evaluation_queries (evaluation_id VARCHAR NOT NULL, qid VARCHAR NOT NULL);

CREATE TABLE evaluation_hits (
    evaluation_id VARCHAR NOT NULL, pipeline VARCHAR NOT NULL, qid VARCHAR NOT NULL, doc_id VARCHAR NOT NULL, score DOUBLE NOT NULL
);

CREATE TABLE evaluation_times (
    evaluation_id VARCHAR NOT NULL, pipeline VARCHAR NOT NULL, qid VARCHAR NOT NULL, path VARCHAR NOT NULL, label VARCHAR NOT NULL,
    ms DOUBLE NOT NULL
);

CREATE TABLE evaluation_failures (evaluation_id VARCHAR NOT NULL, pipeline VARCHAR NOT NULL, qid VARCHAR NOT NULL, error VARCHAR NOT NULL);

-- A failed query has no value here, which is null; it is never 0.
CREATE TABLE evaluation_values (
    evaluation_id VARCHAR NOT NULL, qid VARCHAR NOT NULL, pipeline VARCHAR NOT NULL, measure VARCHAR NOT NULL, value DOUBLE
);

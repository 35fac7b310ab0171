-- Searches were recorded here and nothing read them; what somebody looked for is not kept.
DROP TABLE query_log;

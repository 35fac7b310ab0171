-- How often a job was started since it last came to an orderly halt: a job whose starts keep ending with the death of the process is set aside.
ALTER TABLE jobs ADD COLUMN attempts INTEGER DEFAULT 0;

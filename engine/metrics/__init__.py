"""Effectiveness measures, one per file, in the notation of ir_measures: `nDCG@10`, `AP`, `P(rel=2)@5`."""

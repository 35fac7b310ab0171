"""How the parts of an index stand on disk: arrays with their hashes, rows of each shape, graphs and centroids over them. No index is known here."""

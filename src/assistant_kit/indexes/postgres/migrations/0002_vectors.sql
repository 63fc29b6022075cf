-- Vectors have a table of their own: a search for the nearest reads nothing else, and one for words reads no vectors.
-- Searches for words read pages here and there; what these leave in the server's memory would break the reading of a
-- large table in one go into many small ones (measured: 1.6 times as long).
CREATE TABLE assistant_kit_index.vectors (
    owner text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    vector pgvector.vector NOT NULL,
    PRIMARY KEY (owner, id),
    FOREIGN KEY (owner, id) REFERENCES assistant_kit_index.passages ON DELETE CASCADE
);
-- A vector stays beside its owner where it fits a page: a search that looks at all of them reads no other table.
ALTER TABLE assistant_kit_index.vectors ALTER COLUMN vector SET STORAGE MAIN;

INSERT INTO assistant_kit_index.vectors (owner, id, vector)
    SELECT owner, id, vector FROM assistant_kit_index.passages WHERE vector IS NOT NULL;
ALTER TABLE assistant_kit_index.passages DROP COLUMN vector;
-- Writes the table anew: without that, the bytes of the vectors would stay in it.
CLUSTER assistant_kit_index.passages USING passages_pkey;

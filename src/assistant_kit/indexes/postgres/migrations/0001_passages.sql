CREATE TABLE assistant_kit_index.settings (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version integer NOT NULL,
    embedder text NOT NULL DEFAULT '',
    dimensions integer,
    language text
);
INSERT INTO assistant_kit_index.settings (version) VALUES (0);

CREATE TABLE assistant_kit_index.passages (
    owner text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    text text NOT NULL,
    source text COLLATE "C" NOT NULL,
    at float8 NOT NULL,
    labels jsonb NOT NULL,
    words tsvector NOT NULL,
    vector pgvector.vector,
    PRIMARY KEY (owner, id)
);
-- A vector stays beside its owner where it fits a page: a search that looks at all of them reads no other table.
ALTER TABLE assistant_kit_index.passages ALTER COLUMN vector SET STORAGE MAIN;

CREATE INDEX passages_words ON assistant_kit_index.passages USING gin (words);
-- A source may be longer than what an index holds.
CREATE INDEX passages_source ON assistant_kit_index.passages (owner, hashtextextended(source, 0));

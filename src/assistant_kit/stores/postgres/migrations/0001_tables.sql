-- What is kept. Names are compared by their bytes: COLLATE "C". Times are seconds since 1970, by the clock of the server.

-- One row about the store itself. `audit` stays on once it was.
CREATE TABLE assistant_kit.store (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version integer NOT NULL,
    audit boolean NOT NULL DEFAULT false
);
INSERT INTO assistant_kit.store (version) VALUES (0);

-- Fences only grow, over all conversations: one that is made anew knows no old lease.
CREATE SEQUENCE assistant_kit.fences;
CREATE SEQUENCE assistant_kit.segment_numbers;

-- `segment` is where new records go; those up to `base` are found in its parent. `origin` is the conversation that this
-- one was forked from, until something is written to it.
CREATE TABLE assistant_kit.conversations (
    user_name text COLLATE "C" NOT NULL,
    conversation text COLLATE "C" NOT NULL,
    segment bigint NOT NULL,
    base integer NOT NULL DEFAULT 0,
    seq integer NOT NULL DEFAULT 0,
    total_tokens bigint NOT NULL DEFAULT 0,
    fence bigint NOT NULL,
    lease_owner text COLLATE "C",
    lease_until double precision NOT NULL DEFAULT 0,
    state text COLLATE "C" NOT NULL DEFAULT 'idle',
    open_turn integer,
    title text NOT NULL DEFAULT '',
    origin text COLLATE "C",
    created_at double precision NOT NULL,
    updated_at double precision NOT NULL,
    PRIMARY KEY (user_name, conversation)
);
CREATE INDEX conversations_by_change ON assistant_kit.conversations (user_name, updated_at);
CREATE INDEX conversations_unfinished ON assistant_kit.conversations (state, updated_at) WHERE state <> 'idle';

-- `total_tokens` is the sum up to and with this record, so that the tail that fits a budget is found from its end.
CREATE TABLE assistant_kit.records (
    segment bigint NOT NULL,
    seq integer NOT NULL,
    record_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    body bytea NOT NULL,
    tokens integer NOT NULL,
    total_tokens bigint NOT NULL,
    fence bigint NOT NULL,
    at double precision NOT NULL,
    PRIMARY KEY (segment, seq),
    UNIQUE (segment, record_id)
);

-- How segments hang together. One that was never forked or rewound has no row here. `held`: a conversation writes to it.
CREATE TABLE assistant_kit.segments (
    segment bigint PRIMARY KEY,
    parent bigint,
    base integer NOT NULL,
    held boolean NOT NULL,
    children integer NOT NULL
);
CREATE INDEX segments_by_parent ON assistant_kit.segments (parent, base) WHERE parent IS NOT NULL;

-- The head of each user's audit chain, and its links.
CREATE TABLE assistant_kit.chains (
    user_name text COLLATE "C" PRIMARY KEY,
    chain bigint GENERATED ALWAYS AS IDENTITY,
    n bigint NOT NULL,
    at_us bigint NOT NULL,
    link bytea NOT NULL
);
CREATE TABLE assistant_kit.links (
    chain bigint NOT NULL,
    n bigint NOT NULL,
    at_us bigint NOT NULL,
    payload bytea,
    salt bytea,
    digest bytea NOT NULL,
    link bytea NOT NULL,
    PRIMARY KEY (chain, n)
);

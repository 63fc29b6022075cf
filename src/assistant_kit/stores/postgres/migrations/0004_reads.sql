-- The newest records within all limits, the newest first, behind one row of nulls that says: the conversation is there.
-- Reads what it returns and one record more, never the whole conversation.
CREATE FUNCTION assistant_kit.read(
    p_user text, p_conversation text, p_after integer, p_before integer, p_max_tokens bigint, p_limit integer
)
RETURNS TABLE (
    seq integer, record_id text, kind text, body bytea,
    tokens integer, total_tokens bigint, fence bigint, at double precision
)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    part bigint;
    base integer;
    below integer := p_before;
    above integer;
    floor_tokens bigint;
    misfit integer;
    room integer := p_limit;
    amount integer;
BEGIN
    SELECT c.segment, c.base INTO part, base FROM assistant_kit.conversations c
    WHERE c.user_name = p_user AND c.conversation = p_conversation;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    RETURN NEXT;
    LOOP
        above := greatest(p_after, base);
        misfit := NULL;
        IF p_max_tokens IS NOT NULL THEN
            -- Totals only grow: going back from the newest record, the first that does not fit hides all before it.
            IF floor_tokens IS NULL THEN
                SELECT r.total_tokens - p_max_tokens INTO floor_tokens FROM assistant_kit.records r
                WHERE r.segment = part AND r.seq > above AND r.seq < below
                ORDER BY r.seq DESC LIMIT 1;
            END IF;
            SELECT r.seq INTO misfit FROM assistant_kit.records r
            WHERE r.segment = part AND r.seq > above AND r.seq < below AND r.total_tokens - r.tokens < floor_tokens
            ORDER BY r.seq DESC LIMIT 1;
        END IF;
        RETURN QUERY
        SELECT r.seq, r.record_id, r.kind, r.body, r.tokens, r.total_tokens, r.fence, r.at
        FROM assistant_kit.records r
        WHERE r.segment = part AND r.seq > coalesce(misfit, above) AND r.seq < below
        ORDER BY r.seq DESC LIMIT room;
        GET DIAGNOSTICS amount = ROW_COUNT;
        room := room - amount;
        EXIT WHEN misfit IS NOT NULL OR room <= 0 OR base <= greatest(p_after, 0);
        below := least(below, base + 1);
        SELECT elder.segment, elder.base INTO part, base
        FROM assistant_kit.segments child
        JOIN assistant_kit.segments elder ON elder.segment = child.parent
        WHERE child.segment = part;
    END LOOP;
END
$$;

CREATE FUNCTION assistant_kit.locate(p_user text, p_conversation text, p_id text) RETURNS integer
LANGUAGE sql STABLE AS $$
    SELECT r.seq
    FROM assistant_kit.conversations c
    CROSS JOIN LATERAL assistant_kit.lineage(c.segment, c.base) part
    CROSS JOIN LATERAL (
        SELECT r.seq FROM assistant_kit.records r
        WHERE r.segment = part.segment AND r.record_id = p_id
        OFFSET 0  -- found by its id, not by its place
    ) r
    WHERE c.user_name = p_user AND c.conversation = p_conversation AND r.seq > part.above AND r.seq <= part.upto
$$;

-- A page may be longer than `p_limit`, by conversations that changed in the very same microsecond as its last one.
CREATE FUNCTION assistant_kit.list(p_user text, p_before double precision, p_limit integer)
RETURNS TABLE (
    conversation text, records integer, state text,
    created_at double precision, updated_at double precision, title text
)
LANGUAGE sql STABLE AS $$
    SELECT c.conversation, c.seq, c.state, c.created_at, c.updated_at, c.title
    FROM assistant_kit.conversations c
    WHERE c.user_name = p_user AND c.updated_at < p_before
    ORDER BY c.updated_at DESC FETCH FIRST p_limit ROWS WITH TIES
$$;

CREATE FUNCTION assistant_kit.unfinished(p_state text, p_limit integer)
RETURNS TABLE (user_name text, conversation text, state text, updated_at double precision)
LANGUAGE sql STABLE AS $$
    SELECT c.user_name, c.conversation, c.state, c.updated_at
    FROM assistant_kit.conversations c
    WHERE c.state <> 'idle' AND c.state = p_state  -- as the index says
        AND (c.lease_owner IS NULL OR c.lease_until <= extract(epoch FROM clock_timestamp()))
    UNION ALL
    SELECT c.user_name, c.conversation, c.state, c.updated_at
    FROM assistant_kit.conversations c
    WHERE p_state = 'idle' AND c.state = 'idle'
        AND (c.lease_owner IS NULL OR c.lease_until <= extract(epoch FROM clock_timestamp()))
    ORDER BY 4 LIMIT p_limit
$$;

CREATE FUNCTION assistant_kit.users(p_after text, p_limit integer) RETURNS SETOF text
LANGUAGE sql STABLE AS $$
    (
        SELECT DISTINCT c.user_name FROM assistant_kit.conversations c
        WHERE c.user_name > p_after ORDER BY c.user_name LIMIT p_limit
    )
    UNION
    (
        SELECT c.user_name FROM assistant_kit.chains c
        WHERE c.user_name > p_after ORDER BY c.user_name LIMIT p_limit
    )
    ORDER BY 1 LIMIT p_limit
$$;

CREATE FUNCTION assistant_kit.audit_log(p_user text, p_after bigint, p_limit integer)
RETURNS TABLE (n bigint, at_us bigint, payload bytea, salt bytea, digest bytea, link bytea)
LANGUAGE sql STABLE AS $$
    SELECT l.n, l.at_us, l.payload, l.salt, l.digest, l.link
    FROM assistant_kit.chains c
    JOIN assistant_kit.links l ON l.chain = c.chain
    WHERE c.user_name = p_user AND l.n > p_after
    ORDER BY l.n LIMIT p_limit
$$;

-- What a run does to a conversation. Each function is one write; it answers with a status and never raises of its own
-- accord, so that writes of many conversations can share a transaction and none undoes another. Locks are taken in one
-- order: first the user (only where the audit chain grows), then the conversation.

CREATE FUNCTION assistant_kit.moment() RETURNS double precision
LANGUAGE sql VOLATILE AS $$ SELECT extract(epoch FROM clock_timestamp())::double precision $$;

-- Locks the audit chains of users. Writes that share a transaction lock all chains before any conversation.
CREATE FUNCTION assistant_kit.lock_chains(p_users text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    some_user text;
BEGIN
    FOREACH some_user IN ARRAY p_users LOOP
        PERFORM pg_advisory_xact_lock(hashtextextended('assistant_kit.' || some_user, 0));
    END LOOP;
END
$$;

-- Whether a write may go on: where an audit log is kept, it must bring what is chained. Locks the chain.
CREATE FUNCTION assistant_kit.may_write(p_user text, p_payload bytea) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF p_payload IS NULL THEN
        RETURN NOT (SELECT s.audit FROM assistant_kit.store s);
    END IF;
    PERFORM assistant_kit.lock_chains(ARRAY[p_user]);
    RETURN true;
END
$$;

-- Adds a link: SHA-256 of the link before, the digest, and the time in microseconds as 8 bytes.
CREATE FUNCTION assistant_kit.add_link(p_user text, p_payload bytea, p_salt bytea, p_digest bytea) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    now_us bigint := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
BEGIN
    IF p_payload IS NULL THEN
        RETURN;
    END IF;
    INSERT INTO assistant_kit.chains (user_name, n, at_us, link)
    VALUES (p_user, 0, 0, decode(repeat('00', 32), 'hex'))
    ON CONFLICT (user_name) DO NOTHING;
    WITH head AS (
        UPDATE assistant_kit.chains c
        SET n = c.n + 1,
            at_us = greatest(c.at_us, now_us),
            link = sha256(c.link || p_digest || int8send(greatest(c.at_us, now_us)))
        WHERE c.user_name = p_user
        RETURNING c.chain, c.n, c.at_us, c.link
    )
    INSERT INTO assistant_kit.links (chain, n, at_us, payload, salt, digest, link)
    SELECT head.chain, head.n, head.at_us, p_payload, p_salt, p_digest, head.link FROM head;
END
$$;

-- The segments of a conversation, the newest first: in each, records with above < seq <= upto are its own.
CREATE FUNCTION assistant_kit.lineage(p_segment bigint, p_base integer)
RETURNS TABLE (segment bigint, above integer, upto integer)
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE part (segment, above, upto) AS (
        SELECT p_segment, p_base, 2147483647
        UNION ALL
        SELECT elder.segment, elder.base, part.above
        FROM part
        JOIN assistant_kit.segments child ON child.segment = part.segment
        JOIN assistant_kit.segments elder ON elder.segment = child.parent
        WHERE part.above > 0
    )
    SELECT part.segment, part.above, part.upto FROM part
$$;

-- Whether one of these record ids is in use in the elder segments of a conversation.
CREATE FUNCTION assistant_kit.taken(p_segment bigint, p_base integer, p_ids text[]) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM assistant_kit.lineage(p_segment, p_base) part
        CROSS JOIN LATERAL (
            SELECT r.seq FROM assistant_kit.records r
            WHERE r.segment = part.segment AND r.record_id = ANY (p_ids)
            OFFSET 0  -- found by their ids, not by their places
        ) r
        WHERE r.seq > part.above AND r.seq <= part.upto
    )
$$;

-- done | repeated | lost | conflict (`records` are there) | audit (it must bring what is chained)
CREATE FUNCTION assistant_kit.append(
    p_user text, p_conversation text, p_fence bigint, p_expected integer,
    p_ids text[], p_kinds text[], p_bodies bytea[], p_tokens integer[],
    p_state text, p_open_turn integer, p_release boolean,
    p_payload bytea, p_salt bytea, p_digest bytea,
    OUT status text, OUT records integer
)
LANGUAGE plpgsql AS $$
DECLARE
    amount integer := cardinality(p_ids);
    added bigint := 0;
    some_tokens integer;
    place record;
    standing assistant_kit.conversations;
    is_there boolean;
    last_fence bigint;
BEGIN
    IF amount > 0 AND NOT assistant_kit.may_write(p_user, p_payload) THEN
        status := 'audit';
        RETURN;
    END IF;
    FOREACH some_tokens IN ARRAY p_tokens LOOP
        added := added + some_tokens;
    END LOOP;
    UPDATE assistant_kit.conversations c
    SET seq = c.seq + amount,
        total_tokens = c.total_tokens + added,
        state = p_state,
        open_turn = p_open_turn,
        origin = NULL,
        updated_at = greatest(c.updated_at, assistant_kit.moment()),
        fence = CASE WHEN p_release THEN nextval('assistant_kit.fences') ELSE c.fence END,
        lease_owner = CASE WHEN p_release THEN NULL ELSE c.lease_owner END
    WHERE c.user_name = p_user AND c.conversation = p_conversation AND c.fence = p_fence AND c.seq = p_expected
        AND NOT EXISTS (SELECT FROM assistant_kit.records r WHERE r.segment = c.segment AND r.record_id = ANY (p_ids))
        AND (c.base = 0 OR NOT assistant_kit.taken(c.segment, c.base, p_ids))
    RETURNING c.segment, c.total_tokens - added AS total, c.updated_at INTO place;
    IF FOUND THEN
        FOR i IN 1..amount LOOP
            place.total := place.total + p_tokens[i];
            INSERT INTO assistant_kit.records
                (segment, seq, record_id, kind, body, tokens, total_tokens, fence, at)
            VALUES (
                place.segment, p_expected + i, p_ids[i], p_kinds[i], p_bodies[i], p_tokens[i],
                place.total, p_fence, place.updated_at
            );
        END LOOP;
        IF amount > 0 THEN
            PERFORM assistant_kit.add_link(p_user, p_payload, p_salt, p_digest);
        END IF;
        status := 'done';
        RETURN;
    END IF;

    SELECT * INTO standing FROM assistant_kit.conversations c
    WHERE c.user_name = p_user AND c.conversation = p_conversation;
    records := standing.seq;
    -- The very same records at the very same place: the acknowledgement was lost.
    SELECT array_agg(r.record_id ORDER BY r.seq) = p_ids, max(r.fence) FILTER (WHERE r.seq = p_expected + amount)
    INTO is_there, last_fence
    FROM assistant_kit.lineage(standing.segment, standing.base) part
    CROSS JOIN LATERAL (
        SELECT r.record_id, r.seq, r.fence FROM assistant_kit.records r
        WHERE r.segment = part.segment
            AND r.seq > greatest(part.above, p_expected) AND r.seq <= least(part.upto, p_expected + amount)
        OFFSET 0  -- looked up for each part
    ) r;
    is_there := coalesce(is_there, false);
    IF standing.fence IS DISTINCT FROM p_fence THEN
        -- A last write that gave the lease up may be repeated: it took place if these are its records.
        status := CASE WHEN is_there AND p_release AND last_fence = p_fence THEN 'repeated' ELSE 'lost' END;
    ELSE
        status := CASE WHEN is_there THEN 'repeated' ELSE 'conflict' END;
    END IF;
END
$$;

-- done | busy (for `seconds`) | audit. The state is that before the turn was begun.
CREATE FUNCTION assistant_kit.claim(
    p_user text, p_conversation text, p_owner text, p_ttl double precision,
    p_id text, p_kind text, p_body bytea, p_tokens integer,
    p_payload bytea, p_salt bytea, p_digest bytea,
    OUT status text, OUT seconds double precision,
    OUT fence bigint, OUT seq integer, OUT at double precision, OUT state text, OUT open_turn integer, OUT begun boolean
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF p_id IS NOT NULL AND NOT assistant_kit.may_write(p_user, p_payload) THEN
        status := 'audit';
        RETURN;
    END IF;
    at := assistant_kit.moment();
    INSERT INTO assistant_kit.conversations AS c
        (user_name, conversation, segment, fence, lease_owner, lease_until, created_at, updated_at)
    VALUES (
        p_user, p_conversation, nextval('assistant_kit.segment_numbers'), nextval('assistant_kit.fences'),
        p_owner, at + p_ttl, at, at
    )
    ON CONFLICT (user_name, conversation) DO UPDATE
    SET fence = nextval('assistant_kit.fences'),  -- read again: this row was locked only now
        lease_owner = p_owner,
        lease_until = assistant_kit.moment() + p_ttl
    WHERE c.lease_owner IS NULL OR c.lease_owner = p_owner OR c.lease_until <= assistant_kit.moment()
    RETURNING c.fence, c.seq, c.lease_until - p_ttl, c.state, c.open_turn INTO fence, seq, at, state, open_turn;
    IF fence IS NULL THEN
        status := 'busy';
        SELECT c.lease_until - assistant_kit.moment() INTO seconds FROM assistant_kit.conversations c
        WHERE c.user_name = p_user AND c.conversation = p_conversation;
        RETURN;
    END IF;
    status := 'done';
    begun := false;
    IF p_id IS NOT NULL AND state = 'idle' THEN
        SELECT a.status = 'done' INTO begun FROM assistant_kit.append(
            p_user, p_conversation, fence, seq, ARRAY[p_id], ARRAY[p_kind], ARRAY[p_body], ARRAY[p_tokens],
            'open', seq + 1, false, p_payload, p_salt, p_digest
        ) a;
    END IF;
END
$$;

-- Gives a lease up. The fence moves on: nothing of the old holder that is still under way gets through.
CREATE FUNCTION assistant_kit.release(p_user text, p_conversation text, p_fence bigint, OUT status text)
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE assistant_kit.conversations c
    SET fence = nextval('assistant_kit.fences'), lease_owner = NULL
    WHERE c.user_name = p_user AND c.conversation = p_conversation AND c.fence = p_fence;
    status := 'done';
END
$$;

-- done | lost
CREATE FUNCTION assistant_kit.renew(
    p_user text, p_conversation text, p_fence bigint, p_ttl double precision, OUT status text
)
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE assistant_kit.conversations c
    SET lease_until = assistant_kit.moment() + p_ttl
    WHERE c.user_name = p_user AND c.conversation = p_conversation AND c.fence = p_fence;
    status := CASE WHEN FOUND THEN 'done' ELSE 'lost' END;
END
$$;

-- Takes back a claim that nobody has heard of, with the turn that it has begun as record `p_begun`.
CREATE FUNCTION assistant_kit.undo_claim(
    p_user text, p_conversation text, p_fence bigint, p_begun integer,
    p_payload bytea, p_salt bytea, p_digest bytea, OUT status text
)
LANGUAGE plpgsql AS $$
DECLARE
    undone bigint;
BEGIN
    IF p_begun IS NOT NULL THEN
        IF NOT assistant_kit.may_write(p_user, p_payload) THEN
            status := 'audit';
            RETURN;
        END IF;
        WITH standing AS (
            UPDATE assistant_kit.conversations c
            SET seq = c.seq - 1, state = 'idle', open_turn = NULL,
                total_tokens = c.total_tokens - r.tokens
            FROM assistant_kit.records r
            WHERE c.user_name = p_user AND c.conversation = p_conversation AND c.fence = p_fence AND c.seq = p_begun
                AND r.segment = c.segment AND r.seq = p_begun
                AND NOT EXISTS (  -- unless a fork shares it already
                    SELECT FROM assistant_kit.segments s WHERE s.parent = c.segment AND s.base >= p_begun
                )
            RETURNING c.segment
        )
        DELETE FROM assistant_kit.records r USING standing
        WHERE r.segment = standing.segment AND r.seq = p_begun
        RETURNING r.segment INTO undone;
        IF undone IS NOT NULL THEN
            PERFORM assistant_kit.add_link(p_user, p_payload, p_salt, p_digest);
        END IF;
    END IF;
    PERFORM assistant_kit.release(p_user, p_conversation, p_fence);
    status := 'done';
END
$$;
